package chdb

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseInsert_FindsWhereDataBegins(t *testing.T) {
	type found struct{ Head, Format, Data string }
	f := func(sql string, want found) {
		t.Helper()
		var got found
		if ins := parseInsert(sql); ins != nil {
			got = found{ins.head, ins.format, sql[ins.data:]}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", sql, diff)
		}
	}
	f("INSERT INTO t FORMAT Native", found{"INSERT INTO t", "Native", ""})
	f("INSERT INTO t FORMAT Native\n\n\x00", found{"INSERT INTO t", "Native", "\n\x00"})
	f("insert into db.t (a, `b)`) format CSV \r\n1,2", found{"insert into db.t (a, `b)`)", "CSV", "1,2"})
	f("/* FORMAT x */ INSERT -- VALUES\nINTO t VALUES (1)", found{"/* FORMAT x */ INSERT -- VALUES\nINTO t", "Values", " (1)"})
	f("INSERT INTO t SETTINGS a = 'FORMAT X', b = 1 FORMAT TSV\nx", found{"INSERT INTO t SETTINGS a = 'FORMAT X', b = 1", "TSV", "x"})
	f("INSERT INTO values VALUES (1)", found{"INSERT INTO values", "Values", " (1)"})
	f("INSERT INTO db.format FORMAT TSV", found{"INSERT INTO db.format", "TSV", ""})
	f("INSERT INTO TABLE FUNCTION remote('x', db.t) (a) VALUES (1)", found{"INSERT INTO TABLE FUNCTION remote('x', db.t) (a)", "Values", " (1)"})
	f("INSERT INTO t (values, format) VALUES ('a''b\\'', 1)", found{"INSERT INTO t (values, format)", "Values", " ('a''b\\'', 1)"})
	f("INSERT INTO t SELECT 1 FORMAT x", found{})
	f("INSERT INTO t WITH 1 AS x SELECT x", found{})
	f("INSERT INTO t (SELECT 1)", found{})
	f("INSERT INTO t (a) ((WITH 1 AS x SELECT x))", found{})
	f("INSERT INTO t FROM INFILE 'x' FORMAT CSV", found{})
	f("INSERT INTO t", found{})
	f("SELECT 'INSERT INTO t VALUES'", found{})
	f("", found{})
}

func TestOutputFormat_IsTheOneAtTheEnd(t *testing.T) {
	f := func(sql, want string) {
		t.Helper()
		if got := outputFormat(sql); got != want {
			t.Errorf("%q: %q, want %q", sql, got, want)
		}
	}
	f("SELECT 1", "")
	f("SELECT 1 FORMAT JSON", "JSON")
	f("SELECT 1 format JSON ; ", "JSON")
	f("SELECT 1 FORMAT JSON SETTINGS a = 1", "JSON")
	f("SELECT format FROM t", "")
	f("SELECT format, format FORMAT TSV", "TSV")
	f("SELECT * FROM (SELECT 1 FORMAT CSV)", "")
	f("SELECT 'FORMAT JSON' -- FORMAT CSV\n", "")
	f("SELECT $x$ FORMAT JSON $x$", "")
	f("SELECT $1 FORMAT TSV", "TSV")
}

func TestCanStream_KnowsQueries(t *testing.T) {
	f := func(sql string, want bool) {
		t.Helper()
		if got := canStream(sql); got != want {
			t.Errorf("%q: %v, want %v", sql, got, want)
		}
	}
	f("select 1", true)
	f("((SELECT 1) UNION ALL (SELECT 2))", true)
	f("WITH 1 AS x SELECT x", true)
	f("-- note\nFROM t SELECT a", true)
	f("SHOW TABLES", false)
	f("CREATE TABLE t AS SELECT 1", false)
	f("", false)
}

func TestHead_IsCutFromAllPiecesButTheFirst(t *testing.T) {
	f := func(format, piece, want string) {
		t.Helper()
		if got := string(streamable[format].cut([]byte(piece))); got != want {
			t.Errorf("%s: %q, want %q", format, got, want)
		}
	}
	f("csv", "a\nb\n", "a\nb\n")
	f("tsvwithnames", "a\tb\n1\t2\n", "1\t2\n")
	f("tsvwithnamesandtypes", "a\nString\nx\n", "x\n")
	f("csvwithnames", "\"a\n\"\"b\"\n\"x\n\"\n", "\"x\n\"\n")
	f("csvwithnames", "\"a\"\n", "")
}

func FuzzParseInsert(f *testing.F) {
	for _, s := range []string{"INSERT INTO t FORMAT Native\n\x00", "INSERT INTO `a`.b VALUES (1)", "INSERT INTO t SELECT 1", "SELECT $a$ $a$ /* ", "'", "INSERT INTO t ((SELECT"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		outputFormat(sql)
		canStream(sql)
		isDefinition(sql)
		ins := parseInsert(sql)
		if ins == nil {
			return
		}
		if ins.data > len(sql) || !strings.Contains(sql[:ins.data], ins.head) || ins.format == "" {
			t.Errorf("%q: %+v", sql, ins)
		}
	})
}

func FuzzQuote(f *testing.F) {
	f.Add(`a'b\`)
	f.Fuzz(func(t *testing.T, s string) {
		for _, quoted := range []string{quote(s), identifier(s)} {
			scan := &scanner{sql: quoted}
			if token := scan.next(); token.text != quoted || scan.next().text != "" {
				t.Errorf("%q is not one token", quoted)
			}
		}
	})
}
