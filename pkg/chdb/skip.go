package chdb

import (
	"errors"
	"strconv"
	"strings"
)

// errUnknownType is for types whose form this file does not know.
var errUnknownType = errors.New("unknown type")

// widths are the sizes of the types whose values all have the same.
var widths = map[string]uint64{
	"Bool": 1, "UInt8": 1, "Int8": 1, "Enum8": 1, "Nothing": 1,
	"UInt16": 2, "Int16": 2, "Enum16": 2, "Date": 2, "BFloat16": 2,
	"UInt32": 4, "Int32": 4, "Float32": 4, "Date32": 4, "DateTime": 4, "IPv4": 4, "Time": 4,
	"UInt64": 8, "Int64": 8, "Float64": 8, "DateTime64": 8, "Time64": 8,
	"UInt128": 16, "Int128": 16, "UUID": 16, "IPv6": 16,
	"UInt256": 32, "Int256": 32,
}

// skipKnown goes past a column of a type of known form: first the prefixes of
// the whole type, one for each LowCardinality in it, then the values.
func skipKnown(kind string, rows int, b []byte) ([]byte, error) {
	b, err := skip(b, 8*dictionaries(kind))
	if err != nil {
		return nil, err
	}
	return skipValues(kind, uint64(rows), b)
}

// dictionaries counts the LowCardinality types in a type.
func dictionaries(kind string) uint64 {
	name, args := splitType(elementType(kind))
	switch name {
	case "LowCardinality":
		return 1
	case "Array", "Map", "Tuple":
		n := uint64(0)
		for _, arg := range args {
			n += dictionaries(arg)
		}
		return n
	default:
		return 0
	}
}

// elementType is an element of a tuple less its name, if it has one.
func elementType(element string) string { return element[topLevel(element, ' ')+1:] }

// skipValues goes past the values of a type.
func skipValues(kind string, rows uint64, b []byte) ([]byte, error) {
	if rows > maxRows {
		return nil, errCutShort
	}
	name, args := splitType(kind)
	if width, ok := widths[name]; ok {
		return skip(b, rows*width)
	}
	switch {
	case name == "String":
		for range rows {
			var err error
			if _, b, err = str(b); err != nil {
				return nil, err
			}
		}
		return b, nil
	case strings.HasPrefix(name, "Interval"):
		return skip(b, 8*rows)
	case name == "FixedString" && len(args) == 1:
		width, err := strconv.ParseUint(args[0], 10, 32)
		if err != nil {
			return nil, errUnknownType
		}
		return skip(b, rows*width)
	case name == "Decimal" && len(args) == 2:
		return skip(b, rows*decimalWidth(args[0]))
	case name == "Nullable" && len(args) == 1:
		b, err := skip(b, rows)
		if err != nil {
			return nil, err
		}
		return skipValues(args[0], rows, b)
	case name == "LowCardinality" && len(args) == 1:
		return skipLowCardinality(args[0], rows, b)
	case name == "Array" && len(args) == 1:
		return skipLists(args, rows, b)
	case name == "Map" && len(args) == 2:
		return skipLists(args, rows, b)
	case name == "Tuple" && len(args) > 0:
		return skipTuple(args, rows, b)
	case name == "SimpleAggregateFunction" && len(args) == 2:
		return skipValues(args[1], rows, b)
	default:
		return nil, errUnknownType
	}
}

// skipLists goes past arrays or maps: where each ends, then all elements.
func skipLists(elements []string, rows uint64, b []byte) ([]byte, error) {
	if rows == 0 {
		return b, nil
	}
	b, err := skip(b, 8*(rows-1))
	if err != nil {
		return nil, err
	}
	total, b, err := number(b)
	if err != nil {
		return nil, err
	}
	return skipTuple(elements, total, b)
}

// skipTuple goes past columns that stand one after the other.
func skipTuple(elements []string, rows uint64, b []byte) ([]byte, error) {
	for _, element := range elements {
		var err error
		if b, err = skipValues(elementType(element), rows, b); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// skipLowCardinality goes past a dictionary and the numbers of its entries. An
// empty column has neither.
func skipLowCardinality(kind string, rows uint64, b []byte) ([]byte, error) {
	if rows == 0 {
		return b, nil
	}
	flags, b, err := number(b)
	if err != nil {
		return nil, err
	}
	keys, b, err := number(b)
	if err != nil {
		return nil, err
	}
	// NULL is entry 0: the dictionary itself has no map of nulls.
	if name, args := splitType(kind); name == "Nullable" && len(args) == 1 {
		kind = args[0]
	}
	if b, err = skipValues(kind, keys, b); err != nil {
		return nil, err
	}
	count, b, err := number(b)
	if err != nil || count != rows {
		return nil, errCutShort
	}
	return skip(b, rows<<(flags&3)) // 1, 2, 4 or 8 bytes each
}

func decimalWidth(precision string) uint64 {
	switch p, _ := strconv.Atoi(precision); {
	case p <= 9:
		return 4
	case p <= 18:
		return 8
	case p <= 38:
		return 16
	default:
		return 32
	}
}

// splitType splits a type into its name and its arguments.
func splitType(kind string) (name string, args []string) {
	open := strings.IndexByte(kind, '(')
	if open < 0 || !strings.HasSuffix(kind, ")") {
		return kind, nil
	}
	name = kind[:open]
	for rest := kind[open+1 : len(kind)-1]; rest != ""; {
		i := topLevel(rest, ',')
		if i < 0 {
			return name, append(args, strings.TrimSpace(rest))
		}
		args = append(args, strings.TrimSpace(rest[:i]))
		rest = rest[i+1:]
	}
	return name, args
}

// topLevel finds a byte outside parentheses and quotes, or returns -1.
func topLevel(s string, want byte) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch b := s[i]; {
		case b == want && depth == 0:
			return i
		case b == '(':
			depth++
		case b == ')':
			depth--
		case b == '\'' || b == '`' || b == '"':
			scan := scanner{sql: s, pos: i}
			scan.skipQuoted(b)
			i = scan.pos - 1
		}
	}
	return -1
}
