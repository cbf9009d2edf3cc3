package image

import (
	"context"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"whatchanged/deploy/check/program"
)

const (
	version  = "v9.8.7"
	revision = "0123456789abcdef0123456789abcdef01234567"
	user     = "65532:65532"
)

// patience is how long a program may take that has to become ready.
const patience = 60 * time.Second

// glibc is what Debian's libc6 has, and so the base of the image with the engine.
var glibc = []string{"ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1"}

// newBuilder returns what builds the Dockerfile of this tree.
func newBuilder(t *testing.T) *Builder {
	t.Helper()
	root := program.Root(t)
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	var env struct{ GOROOT, GOMODCACHE, GOCACHE, GOPROXY, GOSUMDB, GONOSUMDB, GOPRIVATE string }
	out, err := exec.Command("go", "env", "-json").Output()
	if err != nil {
		t.Fatalf("ask Go where it is: %v", err)
	}
	if err := json.Unmarshal(out, &env); err != nil {
		t.Fatal(err)
	}
	caches := map[string]string{"/go/pkg/mod": env.GOMODCACHE, "/go/cache": env.GOCACHE, "/cache": cache}
	scratch := t.TempDir()
	if err := os.Chmod(filepath.Dir(scratch), 0o755); err != nil { // others must pass
		t.Fatal(err)
	}
	if err := os.Chmod(scratch, 0o755); err != nil {
		t.Fatal(err)
	}
	b := &Builder{
		Context: root,
		Scratch: scratch,
		Args:    map[string]string{"VERSION": version, "REVISION": revision},
		Cache: func(target string) string {
			if dir, ok := caches[target]; ok {
				return dir
			}
			t.Errorf("nothing is known to be kept at %s", target)
			return t.TempDir()
		},
		Base: func(name, stage string) ([]Bind, []string, error) {
			repository, tag, _ := strings.Cut(name, ":")
			if repository != "scratch" && !regexp.MustCompile(`^[0-9]+[0-9.]*-[a-z-]+$`).MatchString(tag) {
				return nil, nil, fmt.Errorf("the base image %s has no tag that says which version it is", name)
			}
			switch repository {
			case "scratch":
				return nil, nil, nil
			case "debian":
				return nil, nil, putGlibc(stage)
			case "golang", "node": // our own tools, where they are
				if err := os.Mkdir(filepath.Join(stage, "tmp"), 0o777); err != nil {
					return nil, nil, err
				}
				binds := []Bind{{env.GOROOT, env.GOROOT}}
				for _, dir := range []string{"/usr", "/bin", "/lib", "/lib64", "/sbin", "/etc", "/dev", "/proc"} {
					binds = append(binds, Bind{dir, dir})
				}
				if strings.HasPrefix(env.GOROOT, "/usr/") {
					binds = binds[1:]
				}
				return binds, []string{
					"PATH=" + env.GOROOT + "/bin:" + os.Getenv("PATH"), "HOME=/root", "GOPATH=/go", "GOTOOLCHAIN=local",
					"GOPROXY=" + env.GOPROXY, "GOSUMDB=" + env.GOSUMDB, "GONOSUMDB=" + env.GONOSUMDB, "GOPRIVATE=" + env.GOPRIVATE,
				}, nil
			}
			return nil, nil, fmt.Errorf("the base image %s is not known here", name)
		},
	}
	if err := b.Parse(filepath.Join(root, "deploy", "Dockerfile")); err != nil {
		t.Fatal(err)
	}
	return b
}

// putGlibc puts this machine's glibc into a root, and nothing else.
func putGlibc(root string) error {
	found := 0
	for _, name := range glibc {
		for _, pattern := range []string{"/lib64/", "/lib/", "/lib/*-linux-gnu/"} {
			matches, err := filepath.Glob(pattern + name)
			if err != nil {
				return err
			}
			for _, file := range matches {
				real, err := filepath.EvalSymlinks(file)
				if err != nil {
					return err
				}
				info, err := os.Stat(real)
				if err != nil {
					return err
				}
				if err := os.MkdirAll(filepath.Join(root, filepath.Dir(file)), 0o755); err != nil {
					return err
				}
				if err := copyFile(real, filepath.Join(root, file), info.Mode().Perm()); err != nil {
					return err
				}
				found++
			}
		}
	}
	if found == 0 {
		return fmt.Errorf("this machine has no glibc")
	}
	return nil
}

// container runs an image as a container would: the image's user, a root that
// cannot be written, and its volumes.
type container struct {
	image *Image
	box   Box
}

func newContainer(t *testing.T, image *Image, environ ...string) *container {
	t.Helper()
	c := &container{image, Box{
		Root: image.Root, User: image.User, ReadOnly: true, Env: slices.Concat(image.Env, environ),
		Binds: []Bind{{"/proc", "/proc"}, {"/dev", "/dev"}},
	}}
	for _, volume := range image.Volumes {
		c.box.Binds = append(c.box.Binds, Bind{newVolume(t, filepath.Join(image.Root, volume)), volume})
	}
	return c
}

// newVolume returns a volume as a container gets it: what the image has there,
// its owner included.
func newVolume(t *testing.T, like string) string {
	t.Helper()
	data := t.TempDir()
	if err := os.Chmod(filepath.Dir(data), 0o755); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(like)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(data, info.Mode().Perm()); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(data, 65532, 65532); err != nil {
			t.Fatal(err)
		}
	}
	return data
}

// output runs a command to its end.
func (c *container) output(t *testing.T, line ...string) string {
	t.Helper()
	cmd, err := Inside(t.Context(), c.box, line...)
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("run %q: %v\n%s", line, err, &said)
	}
	return string(out)
}

// serve starts a command and waits until the image's own health check passes.
func (c *container) serve(t *testing.T, line ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd, err := Inside(ctx, c.box, line...)
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cancel()
		<-ended
		if t.Failed() {
			t.Logf("%q said:\n%s", line, &said)
		}
	})
	var last []byte
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		check, err := Inside(ctx, c.box, c.image.Health...)
		if err != nil {
			t.Fatal(err)
		}
		if last, err = check.CombinedOutput(); err == nil {
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%q ended: %v", line, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
	t.Fatalf("%q is not healthy after %s: %s", line, patience, last)
}

// address returns one that is free on this machine.
func address(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func build(t *testing.T, b *Builder, stage string) *Image {
	t.Helper()
	image, err := b.Build(t.Context(), stage)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// tree lists what is in a root, less what a container puts there.
func tree(t *testing.T, root string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, strings.TrimPrefix(path, root))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func checkMetadata(t *testing.T, image *Image, volumes ...string) {
	t.Helper()
	if image.User != user {
		t.Errorf("runs as %q, want %s: a number, so that Kubernetes can see that it is not root", image.User, user)
	}
	if diff := cmp.Diff(volumes, image.Volumes); diff != "" {
		t.Errorf("volumes (-want +got):\n%s", diff)
	}
	for label, want := range map[string]string{"title": "whatchanged", "version": version, "revision": revision} {
		if got := image.Labels["org.opencontainers.image."+label]; got != want {
			t.Errorf("label %s is %q, want %q", label, got, want)
		}
	}
	for _, label := range []string{"description", "source"} {
		if image.Labels["org.opencontainers.image."+label] == "" {
			t.Errorf("there is no label %s", label)
		}
	}
	if err := program.CheckConfig(t.Context(), filepath.Join(image.Root, "whatchanged"), "serve", settings(image.Env)); err != nil {
		// The static image has no engine, which serve needs without more settings.
		if !strings.Contains(err.Error(), "clickhouse") || image.Base != "scratch" {
			t.Errorf("the image's settings: %v", err)
		}
	}
}

// settings returns the variables that are ours.
func settings(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(kv string) bool { return !strings.HasPrefix(kv, "WHATCHANGED_") })
}

func checkVersion(t *testing.T, c *container, engine string) {
	t.Helper()
	want := fmt.Sprintf("whatchanged %s, %s, linux/%s, %s", version, runtime.Version(), runtime.GOARCH, engine)
	if got := c.output(t, "/whatchanged", "version"); !strings.HasPrefix(got, want) {
		t.Errorf("version says %q, want %q", got, want)
	}
}

// The program is of the platform that the image is for: whoever builds says which.
func TestTheTargetIsTheBuilders(t *testing.T) {
	b := newBuilder(t)
	b.Platform = map[string]string{"TARGETOS": "linux", "TARGETARCH": "arm64"}
	for _, stage := range []string{"static", "whole", "engine"} {
		i, ok := instructions.HasStage(b.stages, stage)
		if !ok {
			t.Fatalf("there is no stage %s", stage)
		}
		got := map[string]string{}
		for _, command := range b.stages[i].Commands {
			if c, ok := command.(*instructions.ArgCommand); ok {
				for _, arg := range c.Args {
					got[arg.Key] = b.argument(arg)
				}
			}
		}
		if os, given := got["TARGETOS"]; got["TARGETARCH"] != "arm64" || given && os != "linux" {
			t.Errorf("stage %s is for %q on linux/arm64", stage, got)
		}
	}
}

func TestTheStaticImage(t *testing.T) {
	b := newBuilder(t)
	b.Platform = map[string]string{"BUILDPLATFORM": "linux/" + runtime.GOARCH, "TARGETOS": "linux", "TARGETARCH": runtime.GOARCH}
	image := build(t, b, "whatchanged")
	want := []string{"/LICENCES.txt", "/etc/group", "/etc/passwd", "/etc/ssl/certs/ca-certificates.crt", "/whatchanged"}
	if diff := cmp.Diff(want, tree(t, image.Root)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	checkMetadata(t, image)
	checkStatic(t, filepath.Join(image.Root, "whatchanged"))

	nats := startNATS(t)
	listen := address(t)
	c := newContainer(t, image, "WHATCHANGED_LISTEN="+listen, "WHATCHANGED_BUS_URL="+nats, "WHATCHANGED_BUS_MAX_BYTES=67108864", // whatever the disk has
		"WHATCHANGED_MASTER_KEY=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	checkVersion(t, c, "without the embedded engine")
	checkSBOM(t, []byte(c.output(t, "/whatchanged", "version", "--sbom")))
	c.serve(t, "/whatchanged", "receiver")
	expectReady(t, listen)
}

// It is built without buildkit's arguments, for this machine.
func TestTheEmbeddedImage(t *testing.T) {
	image := build(t, newBuilder(t), "embedded")
	checkMetadata(t, image, "/data")
	checkLibraries(t, image.Root)
	listen := address(t)
	c := newContainer(t, image, "WHATCHANGED_LISTEN="+listen)
	checkVersion(t, c, "libchdb ")
	checkSBOM(t, []byte(c.output(t, "/whatchanged", "version", "--sbom")))
	c.serve(t, slices.Concat(image.Entrypoint, image.Cmd)...)
	expectReady(t, listen)
}

func expectReady(t *testing.T, listen string) {
	t.Helper()
	res, err := http.Get("http://" + listen + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("/readyz answers %s %s (%v)", res.Status, body, err)
	}
}

// checkStatic fails when a program needs a loader.
func checkStatic(t *testing.T, path string) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Errorf("%s is not static", path)
	}
}

// checkLibraries fails when the engine or the program needs a library that its
// base does not have, or a newer one: Debian 12 has glibc 2.36.
func checkLibraries(t *testing.T, root string) {
	t.Helper()
	newest := regexp.MustCompile(`^GLIBC_2\.([0-9]+)`)
	for _, name := range []string{"whatchanged", "usr/local/lib/libchdb.so"} {
		f, err := elf.Open(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		libraries, err := f.ImportedLibraries()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range libraries {
			if !slices.Contains(glibc, l) {
				t.Errorf("%s needs %s, which is not of glibc", name, l)
			}
		}
		symbols, err := f.ImportedSymbols()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range symbols {
			var minor int
			if m := newest.FindStringSubmatch(s.Version); m != nil {
				fmt.Sscan(m[1], &minor)
			}
			if minor > 36 {
				t.Errorf("%s needs %s of %s", name, s.Name, s.Version)
			}
		}
	}
}

// startNATS runs the nats-server that the product is tested with, and returns
// its URL.
func startNATS(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	server := filepath.Join(dir, "nats-server")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", server, "github.com/nats-io/nats-server/v2")
	build.Dir = program.Root(t)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build nats-server: %v\n%s", err, out)
	}
	listen := address(t)
	conf := filepath.Join(dir, "nats.conf")
	text := fmt.Sprintf("listen: %q\njetstream { store_dir: %q, sync_interval: always }\n", listen, filepath.Join(dir, "data"))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, server, "-c", conf)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // killed
	})
	return "nats://" + listen
}
