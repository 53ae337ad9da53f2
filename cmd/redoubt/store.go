package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// s3Scheme begins the names of objects in S3-compatible storage: s3://bucket/key.
const s3Scheme = "s3://"

// storeFlags say where s3:// is. Keys are those of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, of the
// variables of MinIO, or of the files and services where the tools of AWS find them.
type storeFlags struct {
	S3Endpoint string `name:"s3-endpoint" help:"URL of the S3-compatible storage." default:"https://s3.amazonaws.com" env:"REDOUBT_S3_ENDPOINT,AWS_ENDPOINT_URL_S3,AWS_ENDPOINT_URL"`
	S3Region   string `name:"s3-region" help:"Region of the bucket. Default: the storage is asked." env:"REDOUBT_S3_REGION,AWS_REGION"`
}

// uploadPart is what is sent at a time to S3, in bytes, and held in memory. Storage takes 10000 of them.
const (
	uploadPart  = 16 << 20
	uploadParts = 10000
)

// put writes what r has to a file, an object, or with "-" to standard output. Under the name there is all
// of it or what was there before: when r fails, or writing does, nothing appears. size is about what is
// to come.
func (s storeFlags) put(ctx context.Context, name string, r io.Reader, size int64) error {
	switch {
	case name == "-":
		_, err := io.Copy(os.Stdout, r)
		return err
	case strings.HasPrefix(name, s3Scheme):
		client, bucket, key, err := s.s3(name)
		if err != nil {
			return err
		}
		// Of a size that is not told, the end of r completes the object, and an error of it does not. Each
		// part goes with an MD5 sum, as not every such storage knows signatures that come in pieces.
		_, err = client.PutObject(ctx, bucket, key, r, -1, minio.PutObjectOptions{
			ContentType: "application/octet-stream", SendContentMd5: true, DisableContentSha256: true,
			PartSize: max(uploadPart, uint64(size)/(uploadParts/2))})
		return err
	}
	return writeFile(name, r)
}

// get opens a file, an object, or with "-" standard input. size is -1 when nobody knows it.
func (s storeFlags) get(ctx context.Context, name string) (r io.ReadCloser, size int64, err error) {
	switch {
	case name == "-":
		return os.Stdin, -1, nil
	case strings.HasPrefix(name, s3Scheme):
		client, bucket, key, err := s.s3(name)
		if err != nil {
			return nil, 0, err
		}
		object, err := client.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
		if err != nil {
			return nil, 0, err
		}
		info, err := object.Stat()
		if err != nil {
			return nil, 0, errors.Join(fmt.Errorf("%s: %w", name, err), object.Close())
		}
		return object, info.Size, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

func (s storeFlags) s3(name string) (client *minio.Client, bucket, key string, err error) {
	bucket, key, _ = strings.Cut(strings.TrimPrefix(name, s3Scheme), "/")
	if bucket == "" || key == "" {
		return nil, "", "", fmt.Errorf("%q is not of the form s3://bucket/key", name)
	}
	endpoint, err := url.Parse(s.S3Endpoint)
	if err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https" {
		return nil, "", "", fmt.Errorf("--s3-endpoint: %q is not of the form https://host", s.S3Endpoint)
	}
	client, err = minio.New(endpoint.Host, &minio.Options{Secure: endpoint.Scheme == "https", Region: s.S3Region,
		Creds: credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.EnvMinio{},
			&credentials.FileAWSCredentials{}, &credentials.IAM{}})})
	return client, bucket, key, err
}

// writeFile replaces a file in one durable step.
func writeFile(name string, r io.Reader) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".incomplete-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	_, err = io.Copy(tmp, r)
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), name); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
