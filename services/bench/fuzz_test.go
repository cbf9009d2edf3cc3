package bench

import "testing"

// FuzzParseHead: an answer has a length that we can hold, or is none.
func FuzzParseHead(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 -20\r\ncontent-length: -1\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 2"))
	f.Fuzz(func(t *testing.T, head []byte) {
		if _, length, _, err := parseHead(head); err == nil && (length < 0 || length > maxAnswer) {
			t.Errorf("%q: %d bytes", head, length)
		}
	})
}

// FuzzParseProc: what the kernel says of a process is read or is an error.
func FuzzParseProc(f *testing.F) {
	f.Add([]byte("1 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14"), []byte("VmRSS:\t  12 kB\nVmHWM:\t13 kB\n"))
	f.Add([]byte(")("), []byte(":"))
	f.Fuzz(func(t *testing.T, stat, status []byte) {
		if name, cpu, err := parseStat(stat); err != nil && (name != "" || cpu < 0) {
			t.Errorf("%q, %v and %v", name, cpu, err)
		}
		parseStatus(status)
	})
}
