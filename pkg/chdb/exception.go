package chdb

import (
	"net/http"
	"regexp"
	"strconv"
)

// Exception is an error of the engine. clickhouse-go makes its own *Exception
// of it; this one is for what goes on inside this package and its handler.
type Exception struct {
	Code    int
	Message string
}

func (e *Exception) Error() string { return e.Message }

// Codes of ClickHouse that this package makes itself or must know.
const (
	codeBadArguments     = 36
	codeNotImplemented   = 48
	codeSyntaxError      = 62
	codeReadonly         = 164
	codeSameQueryID      = 216
	codeQueryTooLarge    = 223
	codeNotEnoughSpace   = 243
	codeQueryCancelled   = 394
	codeCannotParse      = 27
	codeCannotDecompress = 271
	codeUnavailable      = 236 // ABORTED
)

var exceptionCode = regexp.MustCompile(`^Code: (\d+)\. `)

// parseException reads the engine's error text, Code: 60. DB::Exception: ...
func parseException(msg string) *Exception {
	e := &Exception{Message: msg}
	if m := exceptionCode.FindStringSubmatch(msg); m != nil {
		e.Code, _ = strconv.Atoi(m[1])
	}
	return e
}

// newException makes an error in the engine's own form.
func newException(code int, name, text string) *Exception {
	return &Exception{Code: code, Message: "Code: " + strconv.Itoa(code) + ". DB::Exception: " + text + ". (" + name + ")"}
}

// status is the HTTP status ClickHouse gives with an error.
func (e *Exception) status() int {
	switch e.Code {
	case 6, 26, 27, 38, 41, 53, 62, 70, 72, 130, 349, 441, 457, codeCannotDecompress:
		return http.StatusBadRequest // what was sent cannot be read
	case 16, 46, 47, 50, 56, 60, 63, 64, 80, 81, 115, 152:
		return http.StatusNotFound // something named does not exist
	case codeQueryTooLarge:
		return http.StatusRequestEntityTooLarge
	case codeReadonly, 497:
		return http.StatusForbidden
	case codeNotImplemented:
		return http.StatusNotImplemented
	case codeUnavailable, 202, 209, 210:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}
