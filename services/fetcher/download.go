package fetcher

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/minio/minio-go/v7"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
)

// The ends of a try that metrics tell apart.
var (
	errNoAccount = errors.New("the source has no AWS credentials any more")
	errMissing   = errors.New("there is no such object")
	errDenied    = errors.New("access denied: the source's AWS credentials must allow s3:GetObject (and kms:Decrypt, if the bucket is encrypted)")
	errTooLarge  = errors.New("too large")
)

// outcomes are what became of a try, by the error that says so.
var outcomes = []struct {
	err  error
	name string
}{
	{nil, "fetched"},
	{errNoAccount, "no_credentials"},
	{errMissing, "missing"},
	{errDenied, "denied"},
	{errTooLarge, "too_large"},
	{change.ErrMalformed, "malformed"},
}

const outcomeFailed = "failed" // and is tried again

func outcomeOf(err error) string {
	for _, o := range outcomes {
		if errors.Is(err, o.err) {
			return o.name
		}
	}
	return outcomeFailed
}

// download returns the object's bytes.
func (f *Fetcher) download(ctx context.Context, account Account, file bus.LogFile) ([]byte, error) {
	client, err := f.client(account, file.Region)
	if err != nil {
		return nil, err
	}
	body, info, _, err := client.GetObject(ctx, file.Bucket, file.Key, minio.GetObjectOptions{})
	if err != nil {
		return nil, explain(err)
	}
	defer body.Close()
	if info.Size > int64(f.cfg.MaxObject) {
		return nil, f.tooLarge(info.Size, int64(f.cfg.MaxObject))
	}
	object, err := io.ReadAll(io.LimitReader(body, int64(f.cfg.MaxObject)+1)) // the size is what the server says
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the object: %w", err)
	case len(object) > f.cfg.MaxObject:
		return nil, f.tooLarge(int64(len(object)), int64(f.cfg.MaxObject))
	case info.Size >= 0 && int64(len(object)) < info.Size:
		return nil, fmt.Errorf("read the object: %w", io.ErrUnexpectedEOF)
	}
	return object, nil
}

func (f *Fetcher) tooLarge(size, limit int64) error {
	return fmt.Errorf("%w: %w: %d bytes, at most %d", change.ErrMalformed, errTooLarge, size, limit)
}

// explain says what an answer of S3 means for us. Without permission to list a
// bucket, S3 says "denied" for what is not there; and permissions are given
// later, so that is tried for the whole day.
func explain(err error) error {
	answer := minio.ToErrorResponse(err)
	switch answer.Code {
	case minio.NoSuchKey, minio.NoSuchBucket:
		return fmt.Errorf("%w: %w (%s)", change.ErrMalformed, errMissing, answer.Code)
	case minio.AccessDenied, "AllAccessDisabled", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "AccountProblem":
		return fmt.Errorf("%w (%s)", errDenied, answer.Code)
	case "InvalidObjectState":
		return fmt.Errorf("%w: the object is archived (%s)", change.ErrMalformed, answer.Code)
	case "InvalidBucketName", "InvalidArgument", "InvalidObjectName":
		return fmt.Errorf("%w: %s: %s", change.ErrMalformed, answer.Code, answer.Message)
	}
	return fmt.Errorf("get the object: %w", err)
}
