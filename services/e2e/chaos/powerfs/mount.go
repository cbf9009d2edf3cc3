package powerfs

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// mounted is a file system at a place.
type mounted struct {
	dir    string
	server *fuse.Server
	done   chan struct{}
	loops  sync.WaitGroup
}

// listed is one entry of a directory as it was when it was opened.
type listed struct {
	name string
	node *node
}

// Mount shows the file system in a directory. It needs root and /dev/fuse.
func (f *FS) Mount(dir string) error {
	server, err := fuse.NewServer(&door{RawFileSystem: fuse.NewDefaultRawFileSystem(), fs: f}, dir, &fuse.MountOptions{
		DirectMountStrict:  true, // no fusermount is needed
		FsName:             "powerfs",
		Name:               "powerfs",
		AllowOther:         true,
		MaxWrite:           1 << 20,
		MaxBackground:      64,
		DisableXAttrs:      true,
		DisableReadDirPlus: true,
		// The kernel alone changes files, so what it has cached is right.
		ExplicitDataCacheControl: true,
	})
	if err != nil {
		return fmt.Errorf("mount powerfs on %s: %w", dir, err)
	}
	m := &mounted{dir: dir, server: server, done: make(chan struct{})}
	m.loops.Go(server.Serve)
	if err := server.WaitMount(); err != nil {
		return fmt.Errorf("mount powerfs on %s: %w", dir, err)
	}
	m.loops.Go(func() { f.age(m.done) })
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mount = m
	return nil
}

// age does every second what time does to what nobody synced.
func (f *FS) age(done chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case now := <-tick.C:
			f.mu.Lock()
			f.writeBack(now)
			f.mu.Unlock()
		}
	}
}

// unmountGrace is how long a program that was killed may hold files open.
const unmountGrace = 10 * time.Second

// Unmount takes the file system away; all it holds stays in f.
func (f *FS) Unmount() error {
	f.mu.Lock()
	m := f.mount
	f.mount = nil
	f.mu.Unlock()
	if m == nil {
		return nil
	}
	deadline := time.Now().Add(unmountGrace)
	for {
		err := unix.Unmount(m.dir, 0)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			f.mu.Lock()
			f.mount = m
			f.mu.Unlock()
			return fmt.Errorf("unmount powerfs from %s: %w", m.dir, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	close(m.done)
	m.loops.Wait()
	return nil
}

// door is what the kernel talks to.
type door struct {
	fuse.RawFileSystem
	fs *FS
}

const forever = 3600 // seconds: nobody but the kernel changes anything

// with runs do on a node, after the judge has said what is to become of it.
func (d *door) with(kind string, id uint64, do func(*node) errno) fuse.Status {
	d.fs.mu.Lock()
	n := d.fs.nodes[id]
	if n == nil {
		d.fs.mu.Unlock()
		return fuse.Status(syscall.ESTALE)
	}
	if judge := d.fs.judge; judge != nil && kind != "" {
		op := Op{Kind: kind, Path: n.path()}
		d.fs.mu.Unlock()
		v := judge(op)
		time.Sleep(v.Delay)
		d.fs.mu.Lock()
		if v.Err != 0 {
			if kind == "sync" {
				n.fail()
			}
			d.fs.mu.Unlock()
			return fuse.Status(v.Err)
		}
	}
	defer d.fs.mu.Unlock()
	return fuse.Status(do(n))
}

func (n *node) attr(out *fuse.Attr) {
	*out = fuse.Attr{
		Ino: n.id, Mode: n.mode, Nlink: uint32(n.links), Blksize: pageSize,
		Size: uint64(n.live.size), Blocks: uint64(len(n.live.pages)) * (pageSize / 512),
	}
	if n.target != "" {
		out.Size = uint64(len(n.target))
	}
	out.SetTimes(&n.modified, &n.modified, &n.modified)
}

func (n *node) entry(out *fuse.EntryOut) {
	out.NodeId, out.Generation, out.EntryValid, out.AttrValid = n.id, 1, forever, forever
	n.attr(&out.Attr)
}

func (d *door) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	return d.with("", h.NodeId, func(dir *node) errno {
		n := dir.names[name]
		if n == nil {
			return syscall.ENOENT
		}
		n.entry(out)
		return 0
	})
}

// Forget drops what has no name any more and that the kernel asks no more about.
func (d *door) Forget(id, _ uint64) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	if n := d.fs.nodes[id]; n != nil && n.links == 0 && n != d.fs.root {
		delete(d.fs.nodes, id)
		delete(d.fs.unsynced, n)
	}
}

func (d *door) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return d.with("", in.NodeId, func(n *node) errno {
		out.AttrValid = forever
		n.attr(&out.Attr)
		return 0
	})
}

func (d *door) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	size, cut := in.GetSize()
	kind := ""
	if cut {
		kind = "truncate"
	}
	return d.with(kind, in.NodeId, func(n *node) errno {
		if mode, ok := in.GetMode(); ok {
			n.mode = n.mode&syscall.S_IFMT | mode&0o7777
		}
		if at, ok := in.GetMTime(); ok {
			n.modified = at
		}
		if cut {
			if code := d.fs.truncate(n, int64(size)); code != 0 {
				return code
			}
		}
		out.AttrValid = forever
		n.attr(&out.Attr)
		return 0
	})
}

func (d *door) make(id uint64, name string, mode uint32, out *fuse.EntryOut) fuse.Status {
	return d.with("create", id, func(dir *node) errno {
		n, code := d.fs.create(dir, name, mode)
		if code == 0 {
			n.entry(out)
		}
		return code
	})
}

func (d *door) Mknod(_ <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	switch in.Mode & syscall.S_IFMT {
	case syscall.S_IFREG, syscall.S_IFSOCK: // of a socket there is the name alone
	default:
		return fuse.EPERM
	}
	return d.make(in.NodeId, name, in.Mode, out)
}

func (d *door) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return d.make(in.NodeId, name, syscall.S_IFDIR|in.Mode&0o7777, out)
}

func (d *door) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE
	return d.make(in.NodeId, name, syscall.S_IFREG|in.Mode&0o7777, &out.EntryOut)
}

func (d *door) Symlink(_ <-chan struct{}, h *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	return d.with("create", h.NodeId, func(dir *node) errno {
		n, code := d.fs.create(dir, name, syscall.S_IFLNK|0o777)
		if code == 0 {
			n.target = target
			n.entry(out)
		}
		return code
	})
}

func (d *door) Readlink(_ <-chan struct{}, h *fuse.InHeader) (target []byte, code fuse.Status) {
	code = d.with("", h.NodeId, func(n *node) errno {
		target = []byte(n.target)
		return 0
	})
	return target, code
}

func (d *door) Link(_ <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	return d.with("create", in.NodeId, func(dir *node) errno {
		n := d.fs.nodes[in.Oldnodeid]
		switch {
		case n == nil:
			return syscall.ESTALE
		case dir.names[name] != nil:
			return syscall.EEXIST
		}
		d.fs.put(dir, name, n)
		n.entry(out)
		return 0
	})
}

func (d *door) Unlink(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return d.with("remove", h.NodeId, func(dir *node) errno { return d.fs.remove(dir, name, false) })
}

func (d *door) Rmdir(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return d.with("remove", h.NodeId, func(dir *node) errno { return d.fs.remove(dir, name, true) })
}

func (d *door) Rename(_ <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	return d.with("rename", in.NodeId, func(from *node) errno {
		to := d.fs.nodes[in.Newdir]
		if to == nil {
			return syscall.ESTALE
		}
		return d.fs.rename(from, oldName, to, newName, in.Flags)
	})
}

func (d *door) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE
	return d.with("", in.NodeId, func(n *node) errno {
		if in.Flags&syscall.O_TRUNC != 0 {
			return d.fs.truncate(n, 0)
		}
		return 0
	})
}

func (d *door) Release(<-chan struct{}, *fuse.ReleaseIn) {}

func (d *door) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

func (d *door) Access(<-chan struct{}, *fuse.AccessIn) fuse.Status { return fuse.OK }

func (d *door) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (result fuse.ReadResult, code fuse.Status) {
	code = d.with("read", in.NodeId, func(n *node) errno {
		result = fuse.ReadResultData(buf[:n.read(buf[:min(len(buf), int(in.Size))], int64(in.Offset))])
		return 0
	})
	return result, code
}

func (d *door) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (written uint32, code fuse.Status) {
	code = d.with("write", in.NodeId, func(n *node) errno {
		done, code := d.fs.write(n, data, int64(in.Offset))
		written = uint32(done)
		return code
	})
	if code == fuse.OK && in.Flags&(syscall.O_DSYNC|syscall.O_SYNC) != 0 {
		code = d.sync(in.NodeId, "sync")
	}
	return written, code
}

func (d *door) sync(id uint64, kind string) fuse.Status {
	return d.with(kind, id, func(n *node) errno {
		d.fs.sync(n)
		return 0
	})
}

func (d *door) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return d.sync(in.NodeId, "sync")
}

func (d *door) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return d.sync(in.NodeId, "syncdir")
}

// Fallocate is not offered: programs write zeros instead.
func (d *door) Fallocate(<-chan struct{}, *fuse.FallocateIn) fuse.Status {
	return fuse.Status(syscall.EOPNOTSUPP)
}

func (d *door) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return d.with("", in.NodeId, func(dir *node) errno {
		var list []listed
		for name, n := range dir.names {
			list = append(list, listed{name, n})
		}
		d.fs.lastID++
		out.Fh = d.fs.lastID
		d.fs.lists[out.Fh] = list
		return 0
	})
}

func (d *door) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	list := d.fs.lists[in.Fh]
	for i := int(in.Offset); i < len(list); i++ {
		if !out.AddDirEntry(fuse.DirEntry{Name: list[i].name, Ino: list[i].node.id, Mode: list[i].node.mode, Off: uint64(i + 1)}) {
			break
		}
	}
	return fuse.OK
}

func (d *door) ReleaseDir(in *fuse.ReleaseIn) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	delete(d.fs.lists, in.Fh)
}

func (d *door) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	free := uint64(max(0, d.fs.opts.Size/pageSize-d.fs.used))
	*out = fuse.StatfsOut{
		Bsize: pageSize, Frsize: pageSize, NameLen: 255,
		Blocks: uint64(d.fs.opts.Size / pageSize), Bfree: free, Bavail: free,
		Files: uint64(max(d.fs.opts.Inodes, d.fs.inodes+1<<20)), Ffree: 1 << 20,
	}
	return fuse.OK
}
