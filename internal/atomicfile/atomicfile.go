// Package atomicfile replaces and reads files as a whole.
package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// Write makes a file of what write writes. After a crash, or an error, there is
// the old file or the new one, and no part of either.
func Write(path string, mode os.FileMode, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	err = errors.Join(write(f), f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, openErr := os.Open(filepath.Dir(path))
	if openErr != nil {
		return nil // renamed all the same
	}
	_ = dir.Sync() // not every file system can
	_ = dir.Close()
	return nil
}

// WriteFile is Write for what is in memory, like os.WriteFile.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	return Write(path, mode, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}
