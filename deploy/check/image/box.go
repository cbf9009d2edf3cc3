package image

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// Box is a root to run something in, as a container would.
type Box struct {
	Root     string
	Binds    []Bind
	Env      []string // all there is
	WorkDir  string   // where Root has /usr/bin/env; else it is /
	User     string   // uid:gid; empty stays as it is
	ReadOnly bool     // nothing but Binds can be written
}

// inside makes the mounts of a box in a mount namespace of its own, and then
// runs what follows. $1 is the root, $2 whether it is read-only, $3 how many
// pairs of directories to bind come behind it.
const inside = `
set -e
root=$1 readonly=$2 pairs=$3
shift 3
mount --bind "$root" "$root"
[ "$readonly" = false ] || mount -o remount,bind,ro "$root"
while [ "$pairs" -gt 0 ]; do
	mount --rbind "$1" "$root$2"
	shift 2
	pairs=$((pairs - 1))
done
exec "$@"
`

// Inside returns a command that runs in a box. It needs util-linux and
// coreutils, and to be root, or user namespaces: then the only user there is
// us, who are nobody to others' files, and Box.User is not asked for.
func Inside(ctx context.Context, b Box, line ...string) (*exec.Cmd, error) {
	chroot, err := exec.LookPath("chroot")
	if err != nil {
		chroot = "/usr/sbin/chroot" // not on everyone's PATH
	}
	args := []string{"--mount"}
	if os.Geteuid() != 0 {
		args = append(args, "--user", "--map-root-user")
	}
	args = append(args, "/bin/sh", "-c", inside, "inside", b.Root, fmt.Sprint(b.ReadOnly), fmt.Sprint(len(b.Binds)))
	for _, bind := range b.Binds {
		if err := mountpoint(bind.From, filepath.Join(b.Root, bind.To)); err != nil {
			return nil, fmt.Errorf("mount %s: %w", bind.To, err)
		}
		args = append(args, bind.From, bind.To)
	}
	args = slices.Concat(args, []string{"/usr/bin/env", "-i"}, b.Env, []string{chroot})
	if b.User != "" && os.Geteuid() == 0 {
		args = append(args, "--userspec="+b.User)
	}
	args = append(args, b.Root)
	if b.WorkDir != "" && b.WorkDir != "/" {
		args = append(args, "/usr/bin/env", "-C", b.WorkDir)
	}
	cmd := exec.CommandContext(ctx, "unshare", append(args, line...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // whatever it starts ends with it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	return cmd, nil
}

// mountpoint makes what a directory or file can be mounted on.
func mountpoint(from, at string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return os.MkdirAll(at, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(at, os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}
