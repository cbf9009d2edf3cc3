package receiver

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"whatchanged/pkg/problem"
)

// Firehose takes no answer but its own: 200 with the id of its request. Any
// other status makes it try again until its time is over, and then put the
// records into its bucket; after 413 it drops them without a trace.

const firehoseIDHeader = "X-Amz-Firehose-Request-Id"

// firehoseRequest returns the id of Firehose's request.
func firehoseRequest(h http.Header) (id string, ok bool) {
	values, ok := h[firehoseIDHeader]
	if !ok || len(values) != 1 || values[0] == "" || len(values[0]) > 200 {
		return "", false
	}
	return values[0], true
}

// appendFirehose writes Firehose's answer; message is "" for success.
func appendFirehose(b []byte, id string, now time.Time, message string) []byte {
	quoted, _ := json.Marshal(id) // a string
	b = append(append(b, `{"requestId":`...), quoted...)
	b = strconv.AppendInt(append(b, `,"timestamp":`...), now.UnixMilli(), 10)
	if message != "" {
		quoted, _ = json.Marshal(message)
		b = append(append(b, `,"errorMessage":`...), quoted...)
	}
	return append(b, "}\n"...)
}

// writeFirehose answers with an error in Firehose's form.
func writeFirehose(w http.ResponseWriter, id string, e *problem.Error) {
	status := e.Status()
	if e.Kind == problem.TooLarge {
		status = http.StatusBadRequest
	}
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Cache-Control"] = noStore
	problem.SetHeaders(h, e)
	w.WriteHeader(status)
	w.Write(appendFirehose(nil, id, time.Now(), e.Reason+": "+e.Message))
}
