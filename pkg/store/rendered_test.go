package store

// Rendered returns every statement that makes the tables, in order, and how
// many of them belong to each migration before it, by the migration's name.
func Rendered(cfg Config) (statements []string, from map[string]int) {
	all, err := migrations(cfg)
	if err != nil {
		panic(err)
	}
	statements, from = []string{schemaTable(cfg)}, map[string]int{}
	for _, m := range all {
		from[m.name] = len(statements)
		statements = append(statements, m.statements...)
	}
	return statements, from
}
