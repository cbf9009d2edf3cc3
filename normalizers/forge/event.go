package forge

import "whatchanged/pkg/change"

// Event is a kind of event and what becomes of it; B is a provider's builder.
type Event[B any] struct {
	Kind    string  // the provider's word for it
	Hook    string  // the header that comes with it, where that is another word
	Fill    func(B) // nil: a change that says only that it happened
	Becomes change.Type
	Says    string // what the change says, for the document
	Ignored string // why no change is made
}

// Find returns the event of a kind; of one that nobody knows yet, an event
// without Fill.
func Find[B any](events []Event[B], kind string) Event[B] {
	for i := range events {
		if events[i].Kind == kind {
			return events[i]
		}
	}
	return Event[B]{Kind: kind, Becomes: change.Other}
}

// Rows are the events as a document shows them: hook, kind, what becomes of
// it, and what that says or why it is ignored.
func Rows[B any](events []Event[B]) [][]string {
	rows := make([][]string, 0, len(events))
	for _, e := range events {
		becomes, says := "`"+string(e.Becomes)+"`", e.Says
		if e.Ignored != "" {
			becomes, says = "ignored", e.Ignored
		}
		rows = append(rows, []string{e.Hook, "`" + e.Kind + "`", becomes, says})
	}
	return rows
}
