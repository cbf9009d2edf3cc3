package receiver

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

const (
	firstBuffer    = 64 << 10 // what a claimed length gets before a byte has come
	bodyIncomplete = "body_incomplete"
)

// readBody reads the body into s.body, byte for byte as it came. The buffer
// grows with what arrives, not with what is claimed, and all of them together
// stay within the budget.
func (rc *Receiver) readBody(r *http.Request, s *scratch) error {
	limit := rc.cfg.MaxBody
	if r.ContentLength > int64(limit) { // before 100-continue: nothing was read
		return tooLarge(limit)
	}
	s.body = s.body[:0]
	if want := int(r.ContentLength) + 1; want > cap(s.body) { // one more, to read the end
		if err := rc.grow(s, min(want, firstBuffer)); err != nil {
			return err
		}
	}
	for {
		if len(s.body) == cap(s.body) {
			if err := rc.grow(s, min(2*max(cap(s.body), 512), limit+1)); err != nil {
				return err
			}
		}
		n, err := r.Body.Read(s.body[len(s.body):cap(s.body)])
		s.body = s.body[:len(s.body)+n]
		switch {
		case len(s.body) > limit:
			return tooLarge(limit)
		case err == io.EOF:
			return nil
		case err != nil:
			return readFault(err)
		}
	}
}

// grow gives s a larger buffer, if the budget has room for it.
func (rc *Receiver) grow(s *scratch, size int) error {
	more := int64(size - cap(s.body))
	if rc.memory.Add(more) > rc.cfg.MaxMemory {
		rc.memory.Add(-more)
		return problem.BusyFor(time.Second, "out_of_memory", "too many large requests at one time; try again", nil)
	}
	body := make([]byte, len(s.body), size)
	copy(body, s.body)
	// What is left behind is garbage now; size is all that counts.
	s.body = body
	return nil
}

func tooLarge(limit int) error {
	return problem.New(problem.TooLarge, "body_too_large", fmt.Sprintf("the body is larger than %d bytes", limit))
}

// readFault says why a body could not be read to its end. Nothing is stored,
// and nothing more can be read from the connection.
func readFault(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &problem.Error{Kind: problem.Timeout, Reason: "body_too_slow", Message: "the body came too slowly", Err: err}
	}
	return &problem.Error{Kind: problem.Malformed, Reason: bodyIncomplete, Message: "the body ended early or its framing is wrong", Err: err}
}

// maxRatio is how many times its size a compressed body may grow, beyond the
// first megabyte.
const (
	maxRatio     = 100
	freeExpanded = 1 << 20
)

// checkContent returns nil when the body holds JSON, in one of the forms that
// senders use. What it decodes is thrown away: the body is kept as it came.
func checkContent(h http.Header, body []byte, limit int) error {
	if len(body) == 0 {
		return problem.New(problem.Malformed, "empty_body", "the body is empty")
	}
	if err := checkType(h.Get("Content-Type")); err != nil {
		return err
	}
	_, err := normalizers.Content(h, body, min(limit, max(maxRatio*len(body), freeExpanded)))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, normalizers.ErrTooLarge):
		return problem.New(problem.TooLarge, "body_too_large", fmt.Sprintf("the body is larger than %d bytes once decompressed, or grows more than %d times", limit, maxRatio))
	case errors.Is(err, normalizers.ErrEncoding):
		return problem.New(problem.Unsupported, "content_encoding", "this Content-Encoding is not supported; send gzip, deflate or none")
	default:
		detail := strings.TrimPrefix(err.Error(), change.ErrMalformed.Error()+": ")
		return problem.New(problem.Malformed, "not_json", "the body is not JSON: "+detail)
	}
}

// checkType refuses the two kinds of content whose bytes would only look
// wrong. All else is decided by the bytes: senders call JSON by many names.
func checkType(contentType string) error {
	if contentType == "" || contentType == "application/json" {
		return nil
	}
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil
	}
	if strings.HasPrefix(media, "multipart/") {
		return problem.New(problem.Unsupported, "multipart", "a multipart body is not supported; send JSON")
	}
	charset := strings.ToLower(params["charset"])
	if strings.HasPrefix(charset, "utf-16") || strings.HasPrefix(charset, "utf-32") || strings.HasPrefix(charset, "ucs-") {
		return problem.New(problem.Malformed, "charset", "send UTF-8: other encodings of Unicode are not supported")
	}
	return nil
}
