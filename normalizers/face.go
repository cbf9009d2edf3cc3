package normalizers

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/pkg/change"
)

// Headers that the API keeps with what it takes in, so that the pipeline reads
// it as the caller meant it. They are the API's own: no sender can set them.
const (
	// FaceHeader says in which form a change was written: changes,
	// change-events or events.
	FaceHeader = "X-Whatchanged-Face"
	// BulkHeader says that there are many: BulkList or BulkLines.
	BulkHeader = "X-Whatchanged-Bulk"
	// SkipHeader lists, with commas, the places of those that were refused or
	// were known already; the caller was told.
	SkipHeader = "X-Whatchanged-Skip"
	// ServiceHeader has the id and the name of a service that was resolved, a
	// value for each.
	ServiceHeader = "X-Whatchanged-Service"
)

// What BulkHeader can say.
const (
	BulkList  = "list"  // {"data": [...]}
	BulkLines = "lines" // a change on each line
)

// Items returns the changes in the body of a bulk request, in
// order. In lines, one that is not JSON comes as it is; a list must be JSON.
func Items(form string, body []byte) ([][]byte, error) {
	var items [][]byte
	if form == BulkLines {
		for line := range bytes.Lines(bytes.TrimPrefix(body, []byte(bom))) {
			if line = bytes.TrimSpace(line); len(line) > 0 {
				items = append(items, line)
			}
		}
		return items, nil
	}
	if err := CheckJSON(body); err != nil {
		return nil, err
	}
	body = bytes.TrimPrefix(body, []byte(bom))
	data := gjson.GetBytes(body, "data")
	if !data.IsArray() {
		return nil, fmt.Errorf("%w: there is no list named data", change.ErrMalformed)
	}
	data.ForEach(func(_, item gjson.Result) bool {
		items = append(items, []byte(item.Raw))
		return true
	})
	return items, nil
}

// requestOfAPI returns the records of a request to the API, whose face is known, so
// that nothing is guessed from its shape.
func (o *opener) requestOfAPI(face string, body []byte) error {
	record := Record{Provider: apiProvider, DetectedBy: apiProvider + "/" + face, Header: o.header}
	form := o.header.Get(BulkHeader)
	if form == "" {
		if err := CheckJSON(body); err != nil {
			return err
		}
		record.JSON = bytes.TrimPrefix(body, []byte(bom))
		o.records = append(o.records, record)
		return nil
	}
	items, err := Items(form, body)
	if err != nil {
		return err
	}
	if len(items) > MaxRecords {
		return fmt.Errorf("%w: more than %d records in a delivery", change.ErrMalformed, MaxRecords)
	}
	skip := places(o.header.Get(SkipHeader))
	for i, item := range items {
		if !skip[i] {
			record.JSON, record.Index = item, i
			o.records = append(o.records, record)
		}
	}
	return nil
}

func places(list string) map[int]bool {
	set := map[int]bool{}
	for place := range strings.SplitSeq(list, ",") {
		if n, err := strconv.Atoi(place); err == nil {
			set[n] = true
		}
	}
	return set
}
