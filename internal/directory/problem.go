package directory

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Problem is something in the source that could not be served as it is. It
// is for the log: the rest of the directory is served.
type Problem struct {
	Entry string // the first one concerned, such as "user alice"
	Text  string
	Count int // entries concerned
}

func (p Problem) String() string {
	if p.Count > 1 {
		return fmt.Sprintf("%s (and %d more): %s", p.Entry, p.Count-1, p.Text)
	}
	return p.Entry + ": " + p.Text
}

// problems collects, one for each text.
type problems struct {
	list   []Problem
	byText map[string]int
}

// printable quotes a name that would not stay on its line of the log.
func printable(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(name)
	}
	return name
}

func (p *problems) add(entry, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if i, ok := p.byText[text]; ok {
		p.list[i].Count++
		return
	}
	if p.byText == nil {
		p.byText = make(map[string]int)
	}
	p.byText[text] = len(p.list)
	p.list = append(p.list, Problem{Entry: printable(entry), Text: text, Count: 1})
}
