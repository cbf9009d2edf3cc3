package powerfs

import (
	"bytes"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// disk is a file system with short words for what the tests do.
type disk struct {
	*FS
	t interface {
		Helper()
		Fatalf(string, ...any)
	}
}

func newDisk(t *testing.T, names Names) disk {
	return disk{New(Options{Names: names, Size: 1 << 30}), t}
}

func (d disk) create(dir *node, name string) *node {
	d.t.Helper()
	n, code := d.FS.create(dir, name, syscall.S_IFREG|0o600)
	if code != 0 {
		d.t.Fatalf("create %s: %v", name, code)
	}
	return n
}

func (d disk) mkdir(dir *node, name string) *node {
	d.t.Helper()
	n, code := d.FS.create(dir, name, syscall.S_IFDIR|0o700)
	if code != 0 {
		d.t.Fatalf("mkdir %s: %v", name, code)
	}
	return n
}

func (d disk) write(n *node, text string, offset int64) {
	d.t.Helper()
	if done, code := d.FS.write(n, []byte(text), offset); done != len(text) || code != 0 {
		d.t.Fatalf("write: %d bytes, %v", done, code)
	}
}

func text(n *node) string {
	buf := make([]byte, n.live.size)
	return string(buf[:n.read(buf, 0)])
}

// tree is all files below a directory, by path, with what is in them.
func tree(n *node) map[string]string {
	all := map[string]string{}
	for name, child := range n.names {
		if !child.isDir() {
			all[name] = text(child)
			continue
		}
		all[name+"/"] = ""
		for path, what := range tree(child) {
			all[name+"/"+path] = what
		}
	}
	return all
}

func (d disk) want(want map[string]string) {
	d.t.Helper()
	if diff := cmp.Diff(want, tree(d.root)); diff != "" {
		d.t.Fatalf("after the cut (-want +got):\n%s", diff)
	}
}

func TestCut_TakesWhatWasNotSynced(t *testing.T) {
	d := newDisk(t, Strict)
	n := d.create(d.root, "a")
	d.write(n, "first", 0)
	d.sync(n)
	d.sync(d.root)
	d.write(n, " and second", 5)
	loss := d.cut(nil)
	d.want(map[string]string{"a": "first"})
	if diff := cmp.Diff(Loss{Bytes: pageSize}, loss); diff != "" {
		t.Errorf("loss (-want +got):\n%s", diff)
	}
}

func TestCut_KeepsWhatWasSyncedAndLaterOverwritten(t *testing.T) {
	d := newDisk(t, Journal)
	n := d.create(d.root, "a")
	d.write(n, "before", 0)
	d.sync(n)
	d.write(n, "BEHIND", 0)
	d.cut(nil)
	d.want(map[string]string{"a": "before"})
}

func TestCut_StrictNamesNeedTheirDirectory(t *testing.T) {
	d := newDisk(t, Strict)
	dir := d.mkdir(d.root, "dir")
	d.sync(d.root)
	n := d.create(dir, "old")
	d.write(n, "text", 0)
	d.sync(n)
	d.sync(dir)
	if code := d.rename(dir, "old", dir, "new", 0); code != 0 {
		t.Fatal(code)
	}
	d.sync(dir.names["new"]) // the file is no directory
	d.create(dir, "other")
	d.cut(nil)
	d.want(map[string]string{"dir/": "", "dir/old": "text"})

	d.rename(dir, "old", dir, "new", 0)
	d.sync(dir)
	d.cut(nil)
	d.want(map[string]string{"dir/": "", "dir/new": "text"})
}

func TestCut_AJournalTakesNamesAlong(t *testing.T) {
	d := newDisk(t, Journal)
	one, other := d.create(d.root, "one"), d.create(d.root, "other")
	d.write(one, "1", 0)
	d.write(other, "2", 0)
	d.rename(d.root, "other", d.root, "renamed", 0)
	d.sync(one)
	d.cut(nil)
	d.want(map[string]string{"one": "1", "renamed": ""}) // its name is in the journal, its bytes are not
}

func TestCut_ARenameBetweenDirectoriesIsWholeOrNot(t *testing.T) {
	d := newDisk(t, Strict)
	from, to := d.mkdir(d.root, "from"), d.mkdir(d.root, "to")
	n := d.create(from, "f")
	for _, n := range []*node{n, from, to, d.root} {
		d.sync(n)
	}
	d.rename(from, "f", to, "f", 0)
	d.cut(nil)
	d.want(map[string]string{"from/": "", "from/f": "", "to/": ""})
	d.rename(from, "f", to, "f", 0)
	d.sync(to)
	d.cut(nil)
	d.want(map[string]string{"from/": "", "to/": "", "to/f": ""})
}

func TestCut_WhatWasRemovedComesBack(t *testing.T) {
	d := newDisk(t, Strict)
	n := d.create(d.root, "a")
	d.write(n, "text", 0)
	d.sync(n)
	d.sync(d.root)
	d.remove(d.root, "a", false)
	d.cut(nil)
	d.want(map[string]string{"a": "text"})
	d.remove(d.root, "a", false)
	d.sync(d.root)
	d.cut(nil)
	d.want(map[string]string{})
}

func TestTruncate_ReadsAsZerosWhenItGrowsAgain(t *testing.T) {
	d := newDisk(t, Strict)
	n := d.create(d.root, "a")
	d.write(n, "0123456789", 0)
	d.sync(n)
	d.sync(d.root)
	d.truncate(n, 4)
	d.truncate(n, 8)
	if diff := cmp.Diff("0123\x00\x00\x00\x00", text(n)); diff != "" {
		t.Errorf("live (-want +got):\n%s", diff)
	}
	d.cut(nil)
	d.want(map[string]string{"a": "0123456789"})
	d.truncate(n, 4)
	d.sync(n)
	d.cut(nil)
	d.want(map[string]string{"a": "0123"})
}

func TestCut_ATornTailIsMadeOfWholePages(t *testing.T) {
	for seed := range uint64(50) {
		d := newDisk(t, Strict)
		n := d.create(d.root, "a")
		d.sync(n)
		d.sync(d.root)
		whole := bytes.Repeat([]byte{'x'}, 10*pageSize)
		d.write(n, string(whole), 0)
		d.cut(rand.New(rand.NewPCG(seed, 0)))
		for i := 0; i < int(n.live.size); i += pageSize {
			p := text(n)[i:min(i+pageSize, int(n.live.size))]
			if p != string(whole[:len(p)]) && p != string(make([]byte, len(p))) {
				t.Fatalf("seed %d: page %d is neither there nor away", seed, i/pageSize)
			}
		}
	}
}

func TestWriteBack_KeepsWhatIsOld(t *testing.T) {
	d := disk{New(Options{Names: Journal, Size: 1 << 20, WriteBack: 30 * time.Second}), t}
	n := d.create(d.root, "a")
	d.write(n, "old", 0)
	d.writeBack(time.Now().Add(31 * time.Second))
	d.write(n, "new", pageSize)
	d.cut(nil)
	d.want(map[string]string{"a": "old"})
}

func TestSync_ThatFailedIsNotMendedByAnother(t *testing.T) {
	d := newDisk(t, Journal)
	n := d.create(d.root, "a")
	d.write(n, "text", 0)
	n.fail()
	d.sync(n)
	d.cut(nil)
	d.want(map[string]string{"a": "\x00\x00\x00\x00"})
}

func TestWrite_FindsNoRoomBeyondTheSize(t *testing.T) {
	d := disk{New(Options{Size: 2 * pageSize, Inodes: 2}), t}
	n := d.create(d.root, "a")
	done, code := d.FS.write(n, make([]byte, 3*pageSize), 0)
	if done != 2*pageSize || code != 0 {
		t.Errorf("a write that has room in part: %d bytes, %v", done, code)
	}
	if _, code := d.FS.write(n, []byte{1}, 2*pageSize); code != syscall.ENOSPC {
		t.Errorf("a write without room: %v", code)
	}
	if _, code := d.FS.create(d.root, "b", syscall.S_IFREG); code != syscall.ENOSPC {
		t.Errorf("a file too many: %v", code)
	}
	d.remove(d.root, "a", false)
	if d.Used() != 0 {
		t.Errorf("%d bytes are used after all is removed", d.Used())
	}
}

// Whatever is done to files: each has after a cut what it had when it was
// synced last, and reads before the cut as a plain file would.
func TestCut_IsTheStateOfTheLastSync(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := disk{New(Options{Names: Strict, Size: 1 << 30}), t}
		names := []string{"a", "b", "c"}
		files, live, durable := map[string]*node{}, map[string][]byte{}, map[string][]byte{}
		for _, name := range names {
			files[name] = d.create(d.root, name)
			live[name], durable[name] = []byte{}, []byte{}
		}
		d.sync(d.root)
		name := rapid.SampledFrom(names)
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				name, offset := name.Draw(t, "name"), rapid.IntRange(0, 3*pageSize).Draw(t, "offset")
				data := bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, rapid.IntRange(1, 2*pageSize).Draw(t, "size"))
				d.write(files[name], string(data), int64(offset))
				grown := make([]byte, max(len(live[name]), offset+len(data)))
				copy(grown, live[name])
				copy(grown[offset:], data)
				live[name] = grown
			},
			"truncate": func(t *rapid.T) {
				name, size := name.Draw(t, "name"), rapid.IntRange(0, 4*pageSize).Draw(t, "size")
				d.truncate(files[name], int64(size))
				cut := make([]byte, size)
				copy(cut, live[name])
				live[name] = cut
			},
			"sync": func(t *rapid.T) {
				name := name.Draw(t, "name")
				d.sync(files[name])
				durable[name] = live[name]
			},
			"cut": func(*rapid.T) {
				d.cut(nil)
				for _, name := range names {
					live[name] = durable[name]
				}
			},
			"": func(t *rapid.T) {
				for _, name := range names {
					if got := text(files[name]); got != string(live[name]) {
						t.Fatalf("%s has %d bytes that differ from the %d expected", name, len(got), len(live[name]))
					}
				}
			},
		})
	})
}
