// Package audit is our own audit trail: what is recorded of each kind of
// object, in which words, and the recorder that gets it onto the bus before
// the action is answered. A kind is registered here once, in kinds.go; what its
// events say follows from that. The package knows no HTTP and no storage.
package audit

import (
	"slices"
	"strings"
)

// Action is what happened to an object, in the four words that every event has.
type Action string

// The actions. Info is for what is none of the others.
const (
	Create Action = "create"
	Update Action = "update"
	Delete Action = "delete"
	Info   Action = "info"
)

// Actions lists every action.
func Actions() []Action { return []Action{Create, Update, Delete, Info} }

// Operations that several kinds have, and signing in and out.
const (
	OpCreate = "create"
	OpUpdate = "update"
	OpDelete = "delete"
	OpRotate = "rotate"
	OpLogin  = "login"
	OpLogout = "logout"
)

// Show says what a description tells of a field that changed.
type Show int

// How fields are told of. What is not registered is Omitted: a new field gives
// nothing away before somebody has decided that it may.
const (
	Omitted Show = iota // that it changed, not from what to what
	Shown               // the old and the new value
	Ignored             // nothing: it follows from something else, or is ours alone
)

// Field is a field of an object, by its name in JSON.
type Field struct {
	Name  string
	Label string // in descriptions; empty: the name
	Show  Show
}

// Operation is one thing that can be done with objects of a kind.
type Operation struct {
	Name   string
	Action Action
	Verb   string // begins the description
	Suffix string // ends its first part: "from a template"
	Word   string // the action in the log of user actions; empty: Name
}

// Kind is a kind of object and what is recorded of it.
type Kind struct {
	Name       string // the type of the object in events
	Words      string // what descriptions call it
	Alias      string // another name to ask for it by
	Area       string // the type in the log of user actions
	Parent     string // the kind of what it belongs to; empty: the org
	OfParent   bool   // in the log of user actions, the target is the parent
	Operations []Operation
	Fields     []Field
}

// Of returns the kind of a name or an alias.
func Of(name string) (Kind, bool) {
	i := slices.IndexFunc(kinds, func(k Kind) bool { return k.Name == name || k.Alias != "" && k.Alias == name })
	if i < 0 {
		return Kind{}, false
	}
	return kinds[i], true
}

// Kinds lists every kind, in the order documents show them.
func Kinds() []Kind { return slices.Clone(kinds) }

// Areas lists the types of the log of user actions.
func Areas() []string {
	var areas []string
	for _, k := range kinds {
		if !slices.Contains(areas, k.Area) {
			areas = append(areas, k.Area)
		}
	}
	return areas
}

// operation returns the kind's operation of a name.
func (k Kind) operation(name string) (Operation, bool) {
	i := slices.IndexFunc(k.Operations, func(o Operation) bool { return o.Name == name })
	if i < 0 {
		return Operation{}, false
	}
	return k.Operations[i], true
}

// Field returns how a field is told of.
func (k Kind) Field(name string) Field {
	for _, f := range slices.Concat(k.Fields, common) {
		if f.Name == name {
			if f.Label == "" {
				f.Label = name
			}
			return f
		}
	}
	return Field{Name: name, Label: name}
}

// unregistered is what is recorded of a kind that nobody registered: that it
// happened, and no values.
func unregistered(name string) Kind {
	return Kind{Name: name, Words: strings.ReplaceAll(name, "_", " "), Area: name, Operations: created}
}

// Knows reports whether somebody has decided how a field is told of.
func (k Kind) Knows(name string) bool {
	return slices.ContainsFunc(slices.Concat(k.Fields, common), func(f Field) bool { return f.Name == name })
}
