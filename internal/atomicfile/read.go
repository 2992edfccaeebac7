package atomicfile

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// Read reads a regular file, or what a link leads to, of at most so many
// bytes. Errors name the file.
func Read(path string, most int) ([]byte, error) {
	// A pipe without a writer would block whoever opens it otherwise.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err != nil {
		return nil, err
	}
	if len(data) > most {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, most)
	}
	return data, nil
}
