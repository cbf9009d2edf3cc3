package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"whatchanged/pkg/durable"
	"whatchanged/pkg/store"
)

// Listed is a backup that is there.
type Listed struct {
	Name string    `json:"name"`
	Made time.Time `json:"made"`
	Size uint64    `json:"size"`
}

// metadata is the file that ClickHouse writes last: a backup without it is not
// whole.
const metadata = ".backup"

// List returns the backups at the place, oldest first. A directory is looked at
// from here, S3 is asked; of a disk of a server only that server knows, as long
// as it runs: servers is for that alone.
func List(ctx context.Context, cfg Config, servers func(context.Context) ([]store.ServerBackup, error)) (found []Listed, err error) {
	place := cfg.Place()
	if dir, ok := place.Dir(); ok {
		found, err = listDir(dir)
	} else if address, ok := place.S3(); ok {
		found, err = listS3(ctx, address, cfg)
	} else {
		found, err = listServer(ctx, servers)
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b Listed) int { return a.Made.Compare(b.Made) })
	return found, nil
}

func listDir(dir string) ([]Listed, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list backups: %w", err)
	}
	var found []Listed
	for _, e := range entries {
		last, err := os.Stat(filepath.Join(dir, e.Name(), metadata))
		if err != nil {
			continue // not a backup, or one that was cut off
		}
		one := Listed{Name: e.Name(), Made: last.ModTime().UTC()}
		if err := filepath.WalkDir(filepath.Join(dir, e.Name()), func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err == nil {
				one.Size += uint64(info.Size())
			}
			return err
		}); err != nil {
			return nil, fmt.Errorf("list backups: %w", err)
		}
		found = append(found, one)
	}
	return found, nil
}

func listS3(ctx context.Context, address string, cfg Config) ([]Listed, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("list backups: %w", err)
	}
	bucket, prefix, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
	creds := credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.IAM{}})
	if cfg.AccessKeyID != "" {
		creds = credentials.NewStaticV4(cfg.AccessKeyID, cfg.SecretAccessKey.Reveal(), "")
	}
	client, err := minio.New(u.Host, &minio.Options{Creds: creds, Secure: u.Scheme == "https", BucketLookup: minio.BucketLookupPath})
	if err != nil {
		return nil, fmt.Errorf("list backups: %w", err)
	}
	if prefix != "" {
		prefix += "/"
	}
	sizes, made := map[string]uint64{}, map[string]time.Time{}
	for object := range client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if object.Err != nil {
			return nil, fmt.Errorf("list backups in %s: %w", bucket, object.Err)
		}
		name, rest, _ := strings.Cut(strings.TrimPrefix(object.Key, prefix), "/")
		sizes[name] += uint64(object.Size)
		if rest == metadata {
			made[name] = object.LastModified.UTC()
		}
	}
	var found []Listed
	for name, at := range made {
		found = append(found, Listed{Name: name, Made: at, Size: sizes[name]})
	}
	return found, nil
}

func listServer(ctx context.Context, servers func(context.Context) ([]store.ServerBackup, error)) ([]Listed, error) {
	known, err := servers(ctx)
	if err != nil {
		return nil, err
	}
	var found []Listed
	for _, one := range known { // Disk('backups', 'whatchanged-20260102-150405')
		inside := strings.Trim(one.Name[strings.LastIndexByte(one.Name, ',')+1:], " ')")
		found = append(found, Listed{Name: path.Base(inside), Made: one.Began.UTC(), Size: one.Size})
	}
	return found, nil
}

// syncTree puts a backup on disk: ClickHouse writes it and leaves it to the
// system when.
func syncTree(dir, name string) error {
	sync := func(file string) error {
		err := durable.SyncDir(file) // which is fsync, of files too
		if errors.Is(err, fs.ErrPermission) {
			return nil // a server's that is another user
		}
		return err
	}
	err := filepath.WalkDir(filepath.Join(dir, name), func(file string, _ fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrPermission) {
			return nil
		}
		if err != nil {
			return err
		}
		return sync(file)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil // of another machine's directory
	}
	if err == nil {
		err = sync(dir)
	}
	if err != nil {
		return fmt.Errorf("put the backup on disk: %w", err)
	}
	return nil
}
