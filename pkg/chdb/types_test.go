package chdb_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"whatchanged/pkg/chdb/chdbtest"
)

// row has every column type the product's tables use.
type row struct {
	ID       string            `ch:"id"`
	Name     string            `ch:"name"`
	Org      string            `ch:"org"`
	At       time.Time         `ch:"at"`
	Second   time.Time         `ch:"second"`
	U8       uint8             `ch:"u8"`
	U16      uint16            `ch:"u16"`
	U32      uint32            `ch:"u32"`
	U64      uint64            `ch:"u64"`
	I64      int64             `ch:"i64"`
	F64      float64           `ch:"f64"`
	Flag     bool              `ch:"flag"`
	Tags     []string          `ch:"tags"`
	Codes    []string          `ch:"codes"`
	Labels   map[string]string `ch:"labels"`
	Note     *string           `ch:"note"`
	Key      uuid.UUID         `ch:"key"`
	Document string            `ch:"document"`
}

const rowTable = `CREATE TABLE types (
	id FixedString(16), name String, org LowCardinality(String), at DateTime64(3, 'UTC'), second DateTime('UTC'),
	u8 UInt8, u16 UInt16, u32 UInt32, u64 UInt64, i64 Int64, f64 Float64, flag Bool,
	tags Array(String), codes Array(LowCardinality(String)), labels Map(String, String), note Nullable(String), key UUID,
	document String CODEC(ZSTD(3))
) ENGINE = MergeTree ORDER BY (org, at, id)`

func TestEngine_KeepsEveryColumnType(t *testing.T) {
	conn := chdbtest.Conn(t, chdbtest.Database(t))
	if err := conn.Exec(t.Context(), rowTable); err != nil {
		t.Fatal(err)
	}
	note := "a note\nwith\ttabs, 'quotes', \\ and \x00"
	at := time.Date(2026, 3, 4, 5, 6, 7, 89_000_000, time.UTC)
	want := []row{
		{ID: "\x00\x01\n\n\xff3456789012\x00", Name: "blank\n\nline", Org: "a", At: at, Second: at.Truncate(time.Second),
			U8: 255, U16: 65535, U32: 1<<32 - 1, U64: 1<<64 - 1, I64: -1 << 63, F64: -1.5e300, Flag: true,
			Tags: []string{"x", "", "日本語"}, Codes: []string{"c", "c"}, Labels: map[string]string{"k": "v", "": "\n\n"},
			Note: &note, Key: uuid.MustParse("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), Document: `{"a":[1,2,{"b":null}]}`},
		{ID: "0123456789abcdef", Org: "b", At: time.Unix(0, 0).UTC(), Second: time.Unix(0, 0).UTC(),
			Tags: []string{}, Codes: []string{}, Labels: map[string]string{}},
	}
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO types")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range want {
		if err := batch.AppendStruct(&r); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	var got []row
	if err := conn.Select(t.Context(), &got, "SELECT * FROM types ORDER BY org"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}
