// Package powerfs is a file system that loses its power. It keeps everything
// twice: live, as programs see it, and durable, as a disk would have it. What
// is written becomes durable when its file is synced, a name when its
// directory is. Cut throws away what is not durable.
//
// It is for tests of what claims to survive a power cut. It lives in memory,
// and is mounted with FUSE, for which it needs root and /dev/fuse.
package powerfs

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Names says when names become durable.
type Names int

const (
	// Journal is as ext4 and xfs do it: any sync takes along all that was
	// created, renamed, removed or cut off before, anywhere.
	Journal Names = iota
	// Strict is all that POSIX promises: names need a sync of their directory.
	Strict
)

func (n Names) String() string {
	if n == Strict {
		return "strict"
	}
	return "journal"
}

// Options say how the file system behaves.
type Options struct {
	Names Names
	// WriteBack is when the kernel would write what nobody synced, and names
	// after a sixth of it; 0: never.
	WriteBack time.Duration
	// Size is the room for data in bytes; writing beyond is ENOSPC.
	Size int64
	// Inodes is how many files and directories there can be; 0: any number.
	Inodes int
}

// Op is what a program asks for, before it is done.
type Op struct {
	Kind string // "read", "write", "sync", "syncdir", "create", "rename", "remove", "truncate"
	Path string // of the file, or of the directory whose names change; the root is empty
}

// Verdict is what becomes of an Op instead of its success.
type Verdict struct {
	Delay time.Duration
	Err   syscall.Errno // 0: none
}

// Loss is what a power cut took.
type Loss struct {
	Bytes int64 // in whole pages
	Names int   // creations, renames and removals that did not happen
}

// FS is the file system. Its methods may be called at any time.
type FS struct {
	mu     sync.Mutex
	opts   Options
	root   *node
	nodes  map[uint64]*node // what the kernel knows
	lists  map[uint64][]listed
	lastID uint64
	used   int64 // pages of live files
	inodes int
	moves  []move

	unsynced map[*node]struct{} // files with pages, directories with names, that are not durable

	judge func(Op) Verdict

	mount *mounted
}

// move is a rename between two directories: one without the other cannot be.
type move struct {
	from, to         *node
	oldName, newName string
}

const pageSize = 4096

type page [pageSize]byte

// content is a file's bytes. Pages are never written to once two contents share them.
type content struct {
	size  int64
	pages []*page // nil: a hole
}

type node struct {
	id       uint64
	mode     uint32 // type and permissions
	links    int
	modified time.Time
	parent   *node // of the newest name, for paths
	name     string

	// of a file
	live, durable content
	dirty         map[int]time.Time // pages that are not durable, since when
	cutTo         int64             // the shortest it has been since it was durable

	target string // of a symbolic link

	// of a directory
	names, kept map[string]*node     // live and durable
	pending     map[string]time.Time // names that differ, since when
}

// New returns an empty file system.
func New(opts Options) *FS {
	f := &FS{opts: opts, nodes: map[uint64]*node{}, lists: map[uint64][]listed{}, unsynced: map[*node]struct{}{}}
	f.root = f.newNode(syscall.S_IFDIR | 0o755)
	f.root.links = 1
	return f
}

// Judge lets a function decide about every operation; nil ends it. It is
// called by many goroutines, before anything is locked.
func (f *FS) Judge(judge func(Op) Verdict) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.judge = judge
}

// Resize changes the room for data. What is there stays, even when it is more.
func (f *FS) Resize(size int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opts.Size = size
}

// Used returns how many bytes are taken.
func (f *FS) Used() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.used * pageSize
}

func (f *FS) newNode(mode uint32) *node {
	f.lastID++
	f.inodes++
	n := &node{id: f.lastID, mode: mode, modified: time.Now(), dirty: map[int]time.Time{}, cutTo: -1}
	if n.isDir() {
		n.names, n.kept, n.pending = map[string]*node{}, map[string]*node{}, map[string]time.Time{}
	}
	f.nodes[n.id] = n
	return n
}

func (n *node) isDir() bool { return n.mode&syscall.S_IFMT == syscall.S_IFDIR }

// path is the newest name of n, from the root.
func (n *node) path() string {
	if n.parent == nil {
		return ""
	}
	return path.Join(n.parent.path(), n.name)
}

// errno is the error of an operation as the kernel wants it; 0 is success.
type errno = syscall.Errno

// create makes a name for a new node.
func (f *FS) create(dir *node, name string, mode uint32) (*node, errno) {
	switch {
	case dir.names[name] != nil:
		return nil, syscall.EEXIST
	case f.opts.Inodes > 0 && f.inodes >= f.opts.Inodes:
		return nil, syscall.ENOSPC
	}
	n := f.newNode(mode)
	f.put(dir, name, n)
	return n, 0
}

// put sets a live name; nil removes it.
func (f *FS) put(dir *node, name string, n *node) {
	if old := dir.names[name]; old != nil {
		old.links--
		if old.links == 0 {
			f.inodes--
			f.used -= old.live.count()
		}
	}
	if n == nil {
		delete(dir.names, name)
	} else {
		n.links++
		n.parent, n.name = dir, name
		dir.names[name] = n
	}
	dir.modified = time.Now()
	if _, ok := dir.pending[name]; !ok {
		dir.pending[name] = dir.modified
	}
	f.unsynced[dir] = struct{}{}
}

func (f *FS) remove(dir *node, name string, wantDir bool) errno {
	n := dir.names[name]
	switch {
	case n == nil:
		return syscall.ENOENT
	case wantDir && !n.isDir():
		return syscall.ENOTDIR
	case !wantDir && n.isDir():
		return syscall.EISDIR
	case len(n.names) > 0:
		return syscall.ENOTEMPTY
	}
	f.put(dir, name, nil)
	return 0
}

const (
	renameNoReplace = 1
	renameExchange  = 2
)

func (f *FS) rename(from *node, oldName string, to *node, newName string, flags uint32) errno {
	n, old := from.names[oldName], to.names[newName]
	switch {
	case n == nil:
		return syscall.ENOENT
	case flags&renameExchange != 0 && old == nil:
		return syscall.ENOENT
	case flags&renameNoReplace != 0 && old != nil:
		return syscall.EEXIST
	case n == old:
		return 0
	case old != nil && flags&renameExchange == 0 && len(old.names) > 0:
		return syscall.ENOTEMPTY
	}
	n.links++ // neither is ever without a name in between
	if flags&renameExchange != 0 {
		old.links++
		f.put(from, oldName, old)
		old.links--
	} else {
		f.put(from, oldName, nil)
	}
	f.put(to, newName, n)
	n.links--
	if from != to {
		f.moves = append(f.moves, move{from, to, oldName, newName})
	}
	return 0
}

// write stores data at an offset and reports how much of it found room.
func (f *FS) write(n *node, data []byte, offset int64) (int, errno) {
	done := 0
	for done < len(data) {
		at := offset + int64(done)
		i, within := int(at/pageSize), int(at%pageSize)
		p := f.own(n, i)
		if p == nil {
			break
		}
		done += copy(p[within:], data[done:])
	}
	if done == 0 && len(data) > 0 {
		return 0, syscall.ENOSPC
	}
	n.live.size = max(n.live.size, offset+int64(done))
	n.modified = time.Now()
	return done, 0
}

// own returns a live page to be written to, and notes that it is not durable.
// It is nil when there is no room.
func (f *FS) own(n *node, i int) *page {
	for len(n.live.pages) <= i {
		n.live.pages = append(n.live.pages, nil)
	}
	p := n.live.pages[i]
	switch {
	case p == nil:
		if f.used*pageSize >= f.opts.Size {
			return nil
		}
		f.used++
		p = new(page)
	case i < len(n.durable.pages) && n.durable.pages[i] == p:
		fresh := *p
		p = &fresh
	}
	n.live.pages[i] = p
	if _, ok := n.dirty[i]; !ok {
		n.dirty[i] = time.Now()
	}
	f.unsynced[n] = struct{}{}
	return p
}

func (n *node) read(buf []byte, offset int64) int {
	done := 0
	buf = buf[:max(0, min(int64(len(buf)), n.live.size-offset))]
	for done < len(buf) {
		at := offset + int64(done)
		i, within := int(at/pageSize), int(at%pageSize)
		size := min(pageSize-within, len(buf)-done)
		if i < len(n.live.pages) && n.live.pages[i] != nil {
			copy(buf[done:done+size], n.live.pages[i][within:])
		} else {
			clear(buf[done : done+size])
		}
		done += size
	}
	return done
}

func (f *FS) truncate(n *node, size int64) errno {
	if size < n.live.size {
		before := n.live.count()
		keep := int((size + pageSize - 1) / pageSize)
		n.live.cut(size)
		f.used -= before - n.live.count()
		maps.DeleteFunc(n.dirty, func(i int, _ time.Time) bool { return i >= keep })
		if n.cutTo < 0 || size < n.cutTo {
			n.cutTo = size
		}
	}
	n.live.size = size
	n.modified = time.Now()
	f.unsynced[n] = struct{}{}
	return 0
}

// cut shortens a content. The rest of its last page reads as zeros should it
// grow again.
func (c *content) cut(size int64) {
	if size >= c.size {
		return
	}
	c.size = size
	c.pages = c.pages[:min(len(c.pages), int((size+pageSize-1)/pageSize))]
	if within := size % pageSize; within > 0 && int(size/pageSize) < len(c.pages) {
		if last := c.pages[size/pageSize]; last != nil {
			fresh := *last
			clear(fresh[within:])
			c.pages[size/pageSize] = &fresh
		}
	}
}

func (c *content) count() int64 {
	sum := int64(0)
	for _, p := range c.pages {
		if p != nil {
			sum++
		}
	}
	return sum
}

// sync makes a file's bytes durable, or a directory's names.
func (f *FS) sync(n *node) {
	if n.isDir() {
		f.keepNames(n)
	} else {
		n.keepCut()
		n.keepPages(func(int) bool { return true })
		n.durable.size = n.live.size
		delete(f.unsynced, n)
	}
	if f.opts.Names == Journal {
		f.commit()
	}
}

// commit is the journal's: all names, and how far files were cut off.
func (f *FS) commit() {
	for n := range f.unsynced {
		if n.isDir() {
			f.keepNames(n)
		} else {
			n.keepCut()
		}
	}
}

func (f *FS) keepNames(dir *node) {
	for name := range dir.pending {
		dir.keepName(name)
	}
	delete(f.unsynced, dir)
	f.moves = slices.DeleteFunc(f.moves, func(m move) bool {
		if m.from == dir {
			m.to.keepName(m.newName)
		}
		if m.to == dir {
			m.from.keepName(m.oldName)
		}
		return m.from == dir || m.to == dir
	})
}

func (n *node) keepName(name string) {
	delete(n.pending, name)
	if now := n.names[name]; now != nil {
		n.kept[name] = now
	} else {
		delete(n.kept, name)
	}
}

func (n *node) keepCut() {
	if n.cutTo >= 0 {
		n.durable.cut(n.cutTo)
		n.cutTo = -1
	}
}

// keepPages makes those dirty pages durable that are chosen, and the file so
// long that it has them. What had been cut off before they were written goes first.
func (n *node) keepPages(chosen func(i int) bool) {
	for i := range n.dirty {
		if !chosen(i) {
			continue
		}
		n.keepCut()
		for len(n.durable.pages) <= i {
			n.durable.pages = append(n.durable.pages, nil)
		}
		n.durable.pages[i] = n.live.pages[i]
		n.durable.size = max(n.durable.size, min(n.live.size, int64(i+1)*pageSize))
		delete(n.dirty, i)
	}
}

// fail is what a failed sync leaves: the pages count as clean, and are not
// durable, however often they are synced again.
func (n *node) fail() { clear(n.dirty) }

// writeBack does what the kernel does by itself after a while.
func (f *FS) writeBack(now time.Time) {
	if f.opts.WriteBack == 0 {
		return
	}
	old := func(since time.Time, age time.Duration) bool { return now.Sub(since) >= age }
	for n := range f.unsynced {
		if !n.isDir() {
			n.keepPages(func(i int) bool { return old(n.dirty[i], f.opts.WriteBack) })
			continue
		}
		for _, since := range n.pending {
			if old(since, f.opts.WriteBack/6) {
				f.commit()
				break
			}
		}
	}
}

// cut throws away what is not durable. With torn, a part of it has reached the
// disk by chance: any of the pages, and perhaps all of the names.
func (f *FS) cut(torn *rand.Rand) Loss {
	f.writeBack(time.Now())
	if torn != nil {
		if torn.IntN(2) == 0 {
			f.commit()
		}
		f.tear(torn)
	}
	var loss Loss
	for n := range f.unsynced {
		loss.Bytes += int64(len(n.dirty)) * pageSize
		loss.Names += len(n.pending)
	}
	f.nodes, f.unsynced, f.lists = map[uint64]*node{}, map[*node]struct{}{}, map[uint64][]listed{}
	f.moves, f.used, f.inodes = nil, 0, 0
	f.restore(f.root, map[*node]bool{})
	return loss
}

// tear lets every page that is not durable survive or not. The order is that
// of the node numbers, so that a seed says all.
func (f *FS) tear(r *rand.Rand) {
	files := slices.SortedFunc(maps.Keys(f.unsynced), func(a, b *node) int { return int(a.id) - int(b.id) })
	for _, n := range files {
		share := r.Float64()
		for _, i := range slices.Sorted(maps.Keys(n.dirty)) {
			if r.Float64() < share {
				n.keepPages(func(j int) bool { return j == i })
			}
		}
	}
}

// restore makes the durable state of n, and of all below it, the live one.
func (f *FS) restore(n *node, seen map[*node]bool) {
	if seen[n] {
		n.links++ // one more name of the same file
		return
	}
	seen[n] = true
	n.links = 1
	f.inodes++
	f.nodes[n.id] = n
	n.live = content{n.durable.size, slices.Clone(n.durable.pages)}
	n.cutTo = -1
	clear(n.dirty)
	f.used += n.live.count()
	if !n.isDir() {
		return
	}
	clear(n.pending)
	n.names = maps.Clone(n.kept)
	for name, child := range n.names {
		child.parent, child.name = n, name
		f.restore(child, seen)
	}
}

// Cut is the end of the power: what is not durable is gone, and the file system
// is there again where it was mounted. Programs that used it must have ended.
// With torn, a part of what was not synced survives by chance.
func (f *FS) Cut(torn *rand.Rand) (Loss, error) {
	f.mu.Lock()
	m := f.mount
	f.mu.Unlock()
	if m == nil {
		return Loss{}, errors.New("cut the power: nothing is mounted")
	}
	if err := f.Unmount(); err != nil {
		return Loss{}, err
	}
	f.mu.Lock()
	loss := f.cut(torn)
	f.mu.Unlock()
	if err := f.Mount(m.dir); err != nil {
		return loss, fmt.Errorf("after the power cut: %w", err)
	}
	return loss, nil
}
