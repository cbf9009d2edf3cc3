package chdb

import "time"

// SetCloseGrace changes how long Close waits.
func (e *Engine) SetCloseGrace(d time.Duration) { e.grace = d }

// SetReserve changes how much of the volume is left free.
func (e *Engine) SetReserve(bytes int64) { e.reserve = bytes }

// SkipKnown is skipKnown.
func SkipKnown(kind string, rows int, b []byte) ([]byte, error) { return skipKnown(kind, rows, b) }

// ColumnEnds finds the end of a block's only column in both ways, and returns
// what it found there.
func ColumnEnds(block []byte, after string) (kind, skipped, decoded string, err error) {
	_, b, err := uvarint(block)
	if err != nil {
		return "", "", "", err
	}
	rows, b, err := uvarint(b)
	if err != nil {
		return "", "", "", err
	}
	name, b, err := str(b)
	if err != nil {
		return "", "", "", err
	}
	k, b, err := str(b)
	if err != nil {
		return "", "", "", err
	}
	b = append(b, after...)
	s, err := skipKnown(string(k), int(rows), b)
	if err != nil {
		return string(k), "", "", err
	}
	d, err := decodeColumn(string(name), string(k), int(rows), b)
	return string(k), string(s), string(d), err
}
