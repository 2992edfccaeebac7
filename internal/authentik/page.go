package authentik

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Limits of one page of a list.
const (
	pageTimeout = 60 * time.Second
	maxPage     = 256 << 20
	maxPages    = 1 << 20 // of a list, however small they are
)

// page is a part of a list. Lists are read by offset, so what is created or
// deleted meanwhile shifts the rest by one: an element may come twice or be
// missing, and only count tells.
type page[T any] struct {
	next    int // number of the next page, 0: none
	count   int // elements of all pages
	results []T
}

// fetchPage reads a page of a list, the first is 1. A size of 0 leaves it to
// authentik, which also caps what it is asked for.
func fetchPage[T any](ctx context.Context, c *Client, path string, query url.Values, number, size int) (page[T], error) {
	q := url.Values{}
	for name, values := range query {
		q[name] = values
	}
	q.Set("page", strconv.Itoa(number))
	if size > 0 {
		q.Set("page_size", strconv.Itoa(size))
	}
	var p page[T]
	err := c.outpost(ctx, request{
		path: path, query: q.Encode(), timeout: pageTimeout, limit: maxPage,
		accept: func(resp *http.Response) error {
			if err := expectOK(resp); err != nil {
				return err
			}
			var err error
			p, err = decodePage[T](resp.Body)
			return err
		},
	})
	if err != nil {
		return page[T]{}, err
	}
	return p, nil
}

// list calls fn for each page of a list, in order, until it returns an error.
func list[T any](ctx context.Context, c *Client, path string, query url.Values, size int, fn func(page[T]) error) error {
	for number, n := 1, 0; number > 0; n++ {
		if n == maxPages {
			return fmt.Errorf("GET %s: more than %d pages", path, maxPages)
		}
		p, err := fetchPage[T](ctx, c, path, query, number, size)
		if err != nil {
			return err
		}
		if err := fn(p); err != nil {
			return err
		}
		if p.next != 0 && p.next <= number {
			return fmt.Errorf("GET %s: page %d is said to follow page %d", path, p.next, number)
		}
		number = p.next
	}
	return nil
}

// all reads a list that is known to be short.
func all[T any](ctx context.Context, c *Client, path string, query url.Values) ([]T, error) {
	var ts []T
	err := list(ctx, c, path, query, 100, func(p page[T]) error {
		ts = append(ts, p.results...)
		return nil
	})
	return ts, err
}

// decodePage reads a page element by element: a whole one may be large.
func decodePage[T any](r io.Reader) (page[T], error) {
	var p page[T]
	var paged bool
	d := json.NewDecoder(r)
	if err := expect(d, json.Delim('{')); err != nil {
		return p, err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return p, err
		}
		switch key {
		case "pagination":
			var pg struct {
				Next  integer `json:"next"`
				Count integer `json:"count"`
			}
			if err := d.Decode(&pg); err != nil {
				return p, fmt.Errorf("pagination: %w", err)
			}
			p.next, p.count, paged = int(pg.Next), int(pg.Count), true
		case "results":
			if err := expect(d, json.Delim('[')); err != nil {
				return p, fmt.Errorf("results: %w", err)
			}
			p.results = []T{}
			for d.More() {
				var t T
				if err := d.Decode(&t); err != nil {
					return p, fmt.Errorf("result %d: %w", len(p.results), err)
				}
				p.results = append(p.results, t)
			}
			if err := expect(d, json.Delim(']')); err != nil {
				return p, fmt.Errorf("results: %w", err)
			}
		default:
			var skipped json.RawMessage
			if err := d.Decode(&skipped); err != nil {
				return p, err
			}
		}
	}
	if err := expect(d, json.Delim('}')); err != nil {
		return p, err
	}
	if !paged || p.results == nil {
		return p, errors.New("this is no page of a list")
	}
	return p, nil
}

func expect(d *json.Decoder, want json.Delim) error {
	t, err := d.Token()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	if t != want {
		return fmt.Errorf("no %v where one must be", want)
	}
	return nil
}
