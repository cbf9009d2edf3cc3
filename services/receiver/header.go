package receiver

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"whatchanged/pkg/change"
)

// keepHeader copies into kept what may be stored of a request's headers: none
// that carries a secret or is ours to set, and not more than limit bytes. When there is more,
// the small ones stay, which are those that say what a delivery is.
func keepHeader(kept, h http.Header, secretHeader, token string, limit int) {
	secretHeader = http.CanonicalHeaderKey(secretHeader)
	size := 0
	for name, values := range h {
		if isSecret(name) || strings.HasPrefix(name, change.OurHeaders) || name == secretHeader || anyContains(values, token) {
			continue
		}
		kept[name] = values
		size += fieldSize(name, values)
	}
	if size <= limit {
		return
	}
	names := make([]string, 0, len(kept))
	for name := range kept {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(fieldSize(b, kept[b])-fieldSize(a, kept[a]), cmp.Compare(a, b)) // largest first
	})
	for _, name := range names {
		if size <= limit {
			return
		}
		size -= fieldSize(name, kept[name])
		delete(kept, name)
	}
}

// isSecret reports whether the header of that canonical name carries a secret.
func isSecret(name string) bool {
	switch name {
	case "Authorization", "Cookie", "X-Gitlab-Token", "X-Amz-Firehose-Access-Key":
		return true
	default:
		return strings.HasPrefix(name, "Proxy-")
	}
}

// anyContains finds the source's token where a proxy in front has put the URL,
// as in X-Original-Url.
func anyContains(values []string, token string) bool {
	for _, v := range values {
		if strings.Contains(v, token) {
			return true
		}
	}
	return false
}

func fieldSize(name string, values []string) int {
	size := 0
	for _, v := range values {
		size += len(name) + len(v)
	}
	return size
}
