package store

import (
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"whatchanged/pkg/problem"
)

// The limits of a user are not the asker's fault, and not ours.
func TestQueryError_OfAUsersLimitsIsBusy(t *testing.T) {
	for _, code := range []int32{quotaExceeded, tooManyQueries} {
		if err := queryError(t.Context(), &clickhouse.Exception{Code: code}); problem.KindOf(err) != problem.Busy {
			t.Errorf("%d: %v, want busy", code, err)
		}
	}
}
