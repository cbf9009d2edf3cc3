package cloudtrail

import (
	"path"
	"strings"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// operation is what we know about some calls of a service: their type, what
// makes them risky, and a closer look where the parameters decide.
type operation struct {
	service string
	names   string // event names less their API date, by spaces; * stands for anything
	typ     change.Type
	hints   string // by spaces
	look    *look
}

// Short names, so that the tables read as such.
const (
	destructive = normalizers.HintDestructive
	public      = normalizers.HintPublicExposure
	privilege   = normalizers.HintPrivilegeGrant
	noAudit     = normalizers.HintAuditDisabled
	noProtect   = normalizers.HintDeletionProtection
	noCrypt     = normalizers.HintEncryptionDisabled
	database    = normalizers.HintDatabase
	secrets     = normalizers.HintSecrets
	network     = normalizers.HintNetwork
	breakGlass  = normalizers.HintBreakGlass
	noMFA       = normalizers.HintNoMFA
	rollback    = normalizers.HintRollback
)

// table is the operations as they are looked up.
type table struct {
	exact    map[call]*operation
	patterns map[string][]pattern // by service, in order
}

// call names an operation of a service.
type call struct{ service, name string }

type pattern struct {
	glob string
	op   *operation
}

func newTable(rows []operation) *table {
	t := &table{exact: map[call]*operation{}, patterns: map[string][]pattern{}}
	for i := range rows {
		op := &rows[i]
		for name := range strings.FieldsSeq(op.names) {
			key := call{op.service, name}
			if strings.Contains(name, "*") {
				t.patterns[op.service] = append(t.patterns[op.service], pattern{name, op})
			} else if t.exact[key] == nil {
				t.exact[key] = op
			}
		}
	}
	return t
}

// find returns the row for a call, or nil.
func (t *table) find(service, name string) *operation {
	if op := t.exact[call{service, name}]; op != nil {
		return op
	}
	for _, p := range t.patterns[service] {
		if ok, _ := path.Match(p.glob, name); ok {
			return p.op
		}
	}
	return nil
}
