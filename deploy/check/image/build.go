// Package image builds the images of deploy/Dockerfile without Docker: it reads
// the file with buildkit's own parser, and runs each stage in a scratch
// directory that it makes the root. The base images are not fetched: golang and
// node are this machine's own tools, scratch is nothing, and glibc's image is
// this machine's glibc and not a file more.
package image

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// Image is what a stage made: a tree, and how to run it.
type Image struct {
	Base       string // the image it was made from, if none of our stages
	Root       string // the tree
	Env        []string
	WorkDir    string
	User       string
	Entrypoint []string
	Cmd        []string
	Health     []string // without its CMD
	Volumes    []string
	Labels     map[string]string
}

// Builder builds stages.
type Builder struct {
	Context string            // what the stages copy from
	Scratch string            // where their roots go
	Args    map[string]string // build arguments
	// Platform is the arguments that buildkit gives by itself, which a default in
	// the Dockerfile wins over; nil is a builder that gives none.
	Platform map[string]string
	Base     func(name, root string) (binds []Bind, env []string, err error)
	Cache    func(target string) string // the directory behind a cache mount

	lex    *shell.Lex
	meta   []string // arguments before the first FROM
	stages []instructions.Stage
	built  map[string]*Image
	binds  map[string][]Bind // by root
}

// Bind is a directory of this machine that a stage sees.
type Bind struct{ From, To string }

// Parse reads a Dockerfile.
func (b *Builder) Parse(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("read the Dockerfile: %w", err)
	}
	defer f.Close()
	parsed, err := parser.Parse(f)
	if err != nil {
		return fmt.Errorf("parse %s: %w", file, err)
	}
	stages, meta, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		return fmt.Errorf("parse %s: %w", file, err)
	}
	b.lex, b.stages = shell.NewLex(parsed.EscapeToken), stages
	b.built, b.binds = map[string]*Image{}, map[string][]Bind{}
	for _, command := range meta {
		for _, arg := range command.Args {
			b.meta = append(b.meta, arg.Key+"="+b.argument(arg))
		}
	}
	return nil
}

// argument returns the value given to a build argument, else its default, else
// what the platform has for it.
func (b *Builder) argument(arg instructions.KeyValuePairOptional) string {
	if given, ok := b.Args[arg.Key]; ok {
		return given
	}
	if arg.Value == nil {
		return b.Platform[arg.Key]
	}
	return *arg.Value
}

// Build builds a stage and those it needs.
func (b *Builder) Build(ctx context.Context, name string) (*Image, error) {
	if image, ok := b.built[name]; ok {
		return image, nil
	}
	i, ok := instructions.HasStage(b.stages, name)
	if !ok {
		return nil, fmt.Errorf("there is no stage %s", name)
	}
	image, err := b.from(ctx, b.stages[i])
	if err != nil {
		return nil, fmt.Errorf("stage %s: %w", name, err)
	}
	args := slices.Concat(b.meta[:0:0])
	for _, command := range b.stages[i].Commands {
		if err := b.run(ctx, image, command, &args); err != nil {
			return nil, fmt.Errorf("stage %s: %v: %w", name, command, err)
		}
	}
	b.built[name] = image
	return image, nil
}

// from makes the image that a stage begins with.
func (b *Builder) from(ctx context.Context, stage instructions.Stage) (*Image, error) {
	base, _, err := b.lex.ProcessWord(stage.BaseName, shell.EnvsFromSlice(b.meta))
	if err != nil {
		return nil, err
	}
	image := &Image{Base: base, Root: filepath.Join(b.Scratch, stage.Name), WorkDir: "/", Labels: map[string]string{}}
	if _, ours := instructions.HasStage(b.stages, base); ours {
		parent, err := b.Build(ctx, base)
		if err != nil {
			return nil, err
		}
		root := image.Root
		*image = *parent
		image.Root, image.Env = root, slices.Clone(parent.Env)
		b.binds[root] = b.binds[parent.Root]
		return image, copyTree(parent.Root, root, nil)
	}
	if err := os.MkdirAll(image.Root, 0o755); err != nil { //nolint:gosec // an image has other users
		return nil, err
	}
	b.binds[image.Root], image.Env, err = b.Base(base, image.Root)
	return image, err
}

// run does one instruction.
func (b *Builder) run(ctx context.Context, image *Image, command instructions.Command, args *[]string) error {
	if c, ok := command.(instructions.SupportsSingleWordExpansion); ok {
		known := shell.EnvsFromSlice(slices.Concat(*args, image.Env))
		err := c.Expand(func(word string) (string, error) {
			out, _, err := b.lex.ProcessWord(word, known)
			return out, err
		})
		if err != nil {
			return err
		}
	}
	switch c := command.(type) {
	case *instructions.ArgCommand:
		for _, arg := range c.Args {
			*args = append(*args, arg.Key+"="+b.argument(arg))
		}
	case *instructions.EnvCommand:
		for _, kv := range c.Env {
			image.Env = append(image.Env, kv.Key+"="+kv.Value)
		}
	case *instructions.WorkdirCommand:
		image.WorkDir = absolute(image.WorkDir, c.Path)
		return os.MkdirAll(filepath.Join(image.Root, image.WorkDir), 0o755) //nolint:gosec // an image has other users
	case *instructions.CopyCommand:
		return b.copy(ctx, image, c)
	case *instructions.RunCommand:
		return b.runCommand(ctx, image, c, *args)
	case *instructions.LabelCommand:
		for _, kv := range c.Labels {
			image.Labels[kv.Key] = kv.Value
		}
	case *instructions.UserCommand:
		image.User = c.User
	case *instructions.VolumeCommand:
		image.Volumes = append(image.Volumes, c.Volumes...)
	case *instructions.EntrypointCommand:
		image.Entrypoint, image.Cmd = c.CmdLine, nil
	case *instructions.CmdCommand:
		image.Cmd = c.CmdLine
	case *instructions.HealthCheckCommand:
		if len(c.Health.Test) == 0 || c.Health.Test[0] != "CMD" {
			return fmt.Errorf("the health check is %q: want a program, since there is no shell", c.Health.Test)
		}
		image.Health = c.Health.Test[1:]
	case *instructions.ExposeCommand:
	default:
		return fmt.Errorf("%s is not known here", command.Name())
	}
	return nil
}

func absolute(workdir, p string) string {
	if path.IsAbs(p) {
		return path.Clean(p)
	}
	return path.Join(workdir, p)
}

// copy does COPY: a directory is copied by what is in it.
func (b *Builder) copy(ctx context.Context, image *Image, c *instructions.CopyCommand) error {
	keep, root := b.ignored, b.Context
	if c.From != "" {
		from, err := b.Build(ctx, c.From)
		if err != nil {
			return err
		}
		keep, root = nil, from.Root
	}
	owner, err := newOwner(c.Chown, c.Chmod)
	if err != nil {
		return err
	}
	dest := filepath.Join(image.Root, absolute(image.WorkDir, c.DestPath))
	for _, source := range c.SourcePaths {
		from := filepath.Join(root, source)
		info, err := os.Stat(from)
		if err != nil {
			return err
		}
		to := dest
		if !info.IsDir() && (strings.HasSuffix(c.DestPath, "/") || len(c.SourcePaths) > 1) {
			to = filepath.Join(dest, filepath.Base(source))
		}
		if keep == nil {
			err = copyTree(from, to, nil)
		} else {
			err = copyTree(from, to, keep(root))
		}
		if err != nil {
			return err
		}
		if err := owner.apply(to); err != nil {
			return err
		}
	}
	return nil
}

// ignored returns whether .dockerignore keeps a path out of the context.
func (b *Builder) ignored(root string) func(string) (bool, error) {
	return func(path string) (bool, error) {
		f, err := os.Open(filepath.Join(root, ".dockerignore"))
		if err != nil {
			return false, err
		}
		defer f.Close()
		patterns, err := ignorefile.ReadAll(f)
		if err != nil {
			return false, err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil || rel == "." {
			return false, err
		}
		return patternmatcher.MatchesOrParentMatches(filepath.ToSlash(rel), patterns)
	}
}

// runCommand runs a RUN in the image's root, with what its mounts name.
func (b *Builder) runCommand(ctx context.Context, image *Image, c *instructions.RunCommand, args []string) error {
	line := c.CmdLine
	if c.PrependShell {
		line = append([]string{"/bin/sh", "-c"}, strings.Join(c.CmdLine, " "))
	}
	binds := slices.Clone(b.binds[image.Root])
	for _, m := range instructions.GetMounts(c) {
		if m.Type != instructions.MountTypeCache {
			return fmt.Errorf("a mount of type %s is not known here", m.Type)
		}
		binds = append(binds, Bind{b.Cache(m.Target), m.Target})
	}
	cmd, err := Inside(ctx, Box{Root: image.Root, Binds: binds, Env: slices.Concat(image.Env, args), WorkDir: image.WorkDir}, line...)
	if err != nil {
		return err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// owner is what --chown and --chmod ask for.
type owner struct {
	uid, gid int
	mode     fs.FileMode
}

func newOwner(chown, chmod string) (owner, error) {
	o := owner{uid: -1, gid: -1}
	if chown != "" {
		if _, err := fmt.Sscanf(chown, "%d:%d", &o.uid, &o.gid); err != nil {
			return o, fmt.Errorf("--chown=%s: want numbers, since there are no names yet: %w", chown, err)
		}
	}
	if chmod != "" {
		mode, err := strconv.ParseUint(chmod, 8, 32)
		if err != nil {
			return o, fmt.Errorf("--chmod=%s: %w", chmod, err)
		}
		o.mode = fs.FileMode(mode)
	}
	return o, nil
}

func (o owner) apply(root string) error {
	return filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && o.mode != 0 {
			err = os.Chmod(path, o.mode)
		}
		if err == nil && o.uid >= 0 && os.Geteuid() == 0 {
			err = os.Lchown(path, o.uid, o.gid)
		}
		return err
	})
}

// copyTree copies a file, or what is in a directory, less what skip says.
// Large files are linked: nothing here writes into a file that it did not make.
func copyTree(from, to string, skip func(string) (bool, error)) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { //nolint:gosec // an image has other users
		return err
	}
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if skip != nil {
			if left, err := skip(path); err != nil {
				return err
			} else if left && d.IsDir() {
				return fs.SkipDir
			} else if left {
				return nil
			}
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch info, err := d.Info(); {
		case err != nil:
			return err
		case d.IsDir():
			return os.MkdirAll(target, info.Mode().Perm())
		case !d.Type().IsRegular():
			return fmt.Errorf("%s is neither a file nor a directory", path)
		default:
			_ = os.Remove(target) // COPY replaces what is there
			if info.Size() > 64<<20 && os.Link(path, target) == nil {
				return nil
			}
			return copyFile(path, target, info.Mode().Perm())
		}
	})
}

func copyFile(from, to string, mode fs.FileMode) error {
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		out.Close()
		return err
	}
	defer in.Close()
	if _, err := out.ReadFrom(in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
