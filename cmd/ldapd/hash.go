package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"ldapd/internal/password"
)

// maxPassword bounds what is read, in bytes. It is more than a bind before
// authentication can carry by default.
const maxPassword = 64 << 10

func hashCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "hash",
		Short: "Hash a password for the users file",
		Long: `Read a password and print its argon2id hash, for "password" in users.yaml. On a
terminal the password is asked for twice and not shown; otherwise it is the
first line of the standard input.`,
		Example: `  ldapd hash
  pwgen -s 24 1 | tee /dev/tty | ldapd hash`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := readPassword(cmd.InOrStdin(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			hash, err := password.New(text)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), hash)
			return err
		},
	}
}

func readPassword(in io.Reader, prompt io.Writer) (string, error) {
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return askPassword(int(f.Fd()), prompt)
	}
	return readLine(bufio.NewReader(io.LimitReader(in, maxPassword+1)))
}

// readLine reads a password up to the end of its line.
func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	if len(line) > maxPassword {
		return "", fmt.Errorf("the password is longer than %d bytes", maxPassword)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// askPassword reads without echo, and twice, since nobody sees a slip.
func askPassword(fd int, prompt io.Writer) (string, error) {
	var read [2]string
	for i, question := range [2]string{"Password: ", "Again: "} {
		var err error
		if read[i], err = ask(fd, prompt, question); err != nil {
			return "", err
		}
	}
	if read[0] != read[1] {
		return "", errors.New("the two passwords differ")
	}
	return read[0], nil
}

// ask reads a line from a terminal without echo.
func ask(fd int, prompt io.Writer, question string) (string, error) {
	fmt.Fprint(prompt, question)
	b, err := term.ReadPassword(fd)
	fmt.Fprintln(prompt)
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	return string(b), nil
}
