package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"

	"whatchanged/pkg/change"
	"whatchanged/pkg/failpoint"
)

// An insert may touch at most 100 partitions, and payloads choose the month of
// their changes: a statement gets few of them, and few enough rows to be one block.
const (
	maxPartitions = 12
	maxRows       = 500_000
)

// table is how rows of type T are inserted.
type table[T any] struct {
	name      string
	partition func(*T) int // equal for rows of the same partition
}

var (
	changesTable    = table[changeRow]{"changes", func(r *changeRow) int { return month(r.OccurredAt) }}
	deliveriesTable = table[deliveryRow]{"deliveries", func(r *deliveryRow) int { return month(r.ReceivedAt) }}
	payloadsTable   = table[payloadRow]{"payloads", func(r *payloadRow) int { return week(r.ReceivedAt) }}
)

func month(t time.Time) int { return t.Year()*100 + int(t.Month()) }

func week(t time.Time) int {
	const days = 3 // 1970 began on a Thursday
	return int((t.Unix()/86400 + days) / 7)
}

// InsertChanges stores the changes of all results. When it returns nil they
// are on disk; else any part of them may be, and sending all again is harmless.
func (s *Store) InsertChanges(ctx context.Context, batches []Batch) error {
	count := 0
	for i := range batches {
		for j := range batches[i].Results {
			count += len(batches[i].Results[j].Changes) + len(batches[i].Results[j].Removed)
		}
	}
	rows := make([]changeRow, 0, count)
	for i := range batches {
		b := &batches[i]
		for j := range b.Results {
			r := &b.Results[j]
			for k := range r.Changes {
				rows = append(rows, toChangeRow(&r.Changes[k], r, b))
			}
			for _, id := range r.Removed {
				rows = append(rows, toRemovedRow(id, r, b))
			}
		}
	}
	return insert(ctx, s, changesTable, rows)
}

// InsertDeliveries stores what became of each delivery. It comes after
// InsertChanges: a row here says that the changes are stored.
func (s *Store) InsertDeliveries(ctx context.Context, batches []Batch) error {
	count := 0
	for i := range batches {
		count += len(batches[i].Results)
	}
	rows := make([]deliveryRow, 0, count)
	now := change.At(s.now()).Time
	for i := range batches {
		b := &batches[i]
		for j := range b.Results {
			rows = append(rows, toDeliveryRow(&b.Results[j], b, now))
		}
	}
	return insert(ctx, s, deliveriesTable, rows)
}

// InsertPayloads stores deliveries as they came.
func (s *Store) InsertPayloads(ctx context.Context, batches []PayloadBatch) error {
	var rows []payloadRow
	for i := range batches {
		b := &batches[i]
		for j := range b.Deliveries {
			row, err := toPayloadRow(&b.Deliveries[j], b, b.First+j)
			if err != nil {
				return err
			}
			rows = append(rows, row)
		}
	}
	return insert(ctx, s, payloadsTable, rows)
}

func insert[T any](ctx context.Context, s *Store, t table[T], rows []T) error {
	for i, part := range split(rows, t.partition, maxPartitions, maxRows) {
		if i > 0 {
			failpoint.Hit("between-partitions")
		}
		start := time.Now()
		err := send(ctx, s, t.name, part)
		// On to the next server: what the first one may have stored all the same
		// meets itself there. Rows have their key and version from the delivery,
		// not from the insert, and those that are equal are one.
		for tries := 1; tries < s.servers && away(ctx, err); tries++ {
			err = send(ctx, s, t.name, part)
		}
		s.metrics.insertSeconds.WithLabelValues(t.name, result(err)).Observe(time.Since(start).Seconds())
		if err != nil {
			s.refusedFor(err)
			return fmt.Errorf("insert %d rows into %s: %w", len(part), t.name, err)
		}
		failpoint.Hit("after-insert")
		s.metrics.insertRows.WithLabelValues(t.name).Add(float64(len(part)))
	}
	return nil
}

// split orders rows by partition and cuts them into statements.
func split[T any](rows []T, partition func(*T) int, partitions, limit int) [][]T {
	if len(rows) == 0 {
		return nil
	}
	sorted := true // as they are nearly always: rows are large to compare
	for i := range rows[1:] {
		sorted = sorted && partition(&rows[i]) <= partition(&rows[i+1])
	}
	if !sorted {
		slices.SortStableFunc(rows, func(a, b T) int { return cmp.Compare(partition(&a), partition(&b)) })
	}
	var parts [][]T
	start, seen := 0, 0
	for i := range rows {
		if i == 0 || partition(&rows[i]) != partition(&rows[i-1]) {
			seen++
		}
		if seen > partitions || i-start == limit {
			parts = append(parts, rows[start:i])
			start, seen = i, 1
		}
	}
	if start < len(rows) {
		parts = append(parts, rows[start:])
	}
	return parts
}

func send[T any](ctx context.Context, s *Store, name string, rows []T) (err error) {
	settings := clickhouse.Settings{
		// On by default, it answers before the rows are on disk.
		"async_insert": 0,
		// Replicated tables drop a block that they have seen: rows that were
		// lost since could not be inserted again. Keys make repeats harmless.
		"insert_deduplicate": 0,
	}
	if s.cfg.Cluster != "" {
		settings["insert_quorum"] = "auto"
		settings["insert_quorum_timeout"] = int(insertTimeout.Milliseconds() / 2) // not 10 minutes: it is tried again
		settings["distributed_foreground_insert"] = 1
	}
	opts := []clickhouse.QueryOption{clickhouse.WithSettings(settings)}
	if known, ok := s.types.Load(name); ok { // else the driver asks for them
		opts = append(opts, clickhouse.WithColumnNamesAndTypes(known.([]clickhouse.ColumnNameAndType)))
	}
	defer func() {
		if err != nil {
			s.types.Delete(name) // the table may have changed
		}
	}()
	batch, err := s.inserts[name].PrepareBatch(clickhouse.Context(ctx, opts...), "INSERT INTO "+name+" ("+strings.Join(columns[T](), ", ")+")")
	if err != nil {
		return err
	}
	defer batch.Close()
	if err := reserve(s, batch, rows); err != nil {
		return err
	}
	if err := appendRows(batch, rows); err != nil {
		return err
	}
	types := typesOf(batch)
	if err := batch.Send(); err != nil {
		return err
	}
	s.types.Store(name, types)
	return nil
}

// appendRows is AppendStruct for many rows of one type, whose fields are in the
// order of the columns: nothing is looked up by name, and a field is handed
// over as it lies in its row.
func appendRows[T any](batch driver.Batch, rows []T) error {
	cols := batch.Columns()
	byValue := make([]bool, len(cols)) // their columns compare, or know no pointers
	for i, col := range cols {
		kind := string(col.Type())
		byValue[i] = strings.HasPrefix(kind, "LowCardinality") || strings.HasPrefix(kind, "Array") ||
			reflect.TypeFor[T]().Field(i).Type.Kind() == reflect.Bool
	}
	values := make([]any, len(cols))
	for i := range rows {
		row := reflect.ValueOf(&rows[i]).Elem()
		for j := range values {
			if byValue[j] {
				values[j] = row.Field(j).Interface()
			} else {
				values[j] = row.Field(j).Addr().Interface()
			}
		}
		if err := batch.Append(values...); err != nil {
			return err
		}
	}
	return nil
}

// typesOf returns the columns of a batch.
func typesOf(batch driver.Batch) []clickhouse.ColumnNameAndType {
	var types []clickhouse.ColumnNameAndType
	for _, c := range batch.Columns() {
		types = append(types, clickhouse.ColumnNameAndType{Name: c.Name(), Type: string(c.Type())})
	}
	return types
}

const (
	reserveFrom = 256 << 10 // bytes; less is not worth it
	reserveMost = 32 << 20
)

// reserve makes room for the large columns of a batch at once. Row by row they
// would grow by a quarter each time: five times the memory, all of it new to
// the process and copied. The driver has no word for it but to append and to
// reset. What is appended is never written to, so it takes no memory.
func reserve[T any](s *Store, batch driver.Batch, rows []T) error {
	for i, col := range batch.Columns() {
		if col.Type() != "String" {
			continue
		}
		size := 0
		for j := range rows {
			size += reflect.ValueOf(&rows[j]).Elem().Field(i).Len()
		}
		if size < reserveFrom {
			continue
		}
		if err := col.AppendRow(s.zeros()[:min(size, reserveMost)]); err != nil {
			return err
		}
		col.Reset()
	}
	return nil
}

// columns lists the columns of the row type T, in order.
func columns[T any]() []string {
	row := reflect.TypeFor[T]()
	names := make([]string, row.NumField())
	for i := range names {
		names[i] = row.Field(i).Tag.Get("ch")
	}
	return names
}

// dataCodes are ClickHouse's exceptions that say that rows, not circumstances,
// are at fault. What a cut connection can cause is not among them.
var dataCodes = []int32{
	6,   // CANNOT_PARSE_TEXT
	38,  // CANNOT_PARSE_DATE
	41,  // CANNOT_PARSE_DATETIME
	69,  // ARGUMENT_OUT_OF_BOUND
	70,  // CANNOT_CONVERT_TYPE
	72,  // CANNOT_PARSE_NUMBER
	117, // INCORRECT_DATA
	131, // TOO_LARGE_STRING_SIZE
	321, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
	349, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
	407, // DECIMAL_OVERFLOW
	469, // VIOLATED_CONSTRAINT
}

// IsData reports whether an insert was refused for what the rows contain, so
// that sending them again cannot help: the caller halves its batch until the
// bad row is alone.
func IsData(err error) bool {
	if refused, ok := errors.AsType[*clickhouse.Exception](err); ok {
		return slices.Contains(dataCodes, refused.Code)
	}
	var convert *proto.BlockError // the driver could not encode a value
	return errors.As(err, &convert) || errors.Is(err, clickhouse.ErrBatchInvalid)
}
