package authentik

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
)

const (
	// pageSize is what is asked for, and what authentik caps it at by default
	// since 2026.5.
	pageSize = 100
	// pagesAtOnce bounds the requests of one scan in flight.
	pagesAtOnce = 4
	// scanRounds is how often a list that changes while it is read is read.
	scanRounds = 3
)

// errDrift is the error of a list that changed while it was read, so that
// elements may be missing.
var errDrift = errors.New("the list changed while it was read")

// scan describes a list that is read as a whole.
type scan[T any] struct {
	fetch   func(ctx context.Context, number int) (page[T], error)
	compare func(a, b *T) int // 0: the same element

	// appends says that the list is ordered so that new elements come last.
	// Then they don't make it necessary to read the list again.
	appends bool
}

// read returns all elements, in order. It reads pages in parallel and never
// returns a part of the list: it starts over if the list changed in a way that
// may have shifted elements from a page to one that was read already.
func (s *scan[T]) read(ctx context.Context) ([]T, error) {
	for range scanRounds {
		rows, err := s.round(ctx)
		if !errors.Is(err, errDrift) {
			return rows, err
		}
	}
	return nil, fmt.Errorf("%d times: %w", scanRounds, errDrift)
}

func (s *scan[T]) round(ctx context.Context) ([]T, error) {
	first, err := s.fetch(ctx, 1)
	if err != nil {
		return nil, err
	}
	if first.next == 0 {
		return s.check(first.results, first.count)
	}
	size := len(first.results)
	if size == 0 {
		return nil, errors.New("an empty page that others follow")
	}
	last := max((first.count+size-1)/size, 2)
	if last > maxPages {
		return nil, fmt.Errorf("more than %d pages", maxPages)
	}
	// An end of the list that was read with its count tells at the end of the
	// scan which elements are new, so whether others are gone.
	base, from := first.count, 2
	var old T
	if s.appends {
		p, err := s.later(ctx, last)
		if err != nil {
			return nil, err
		}
		if p.next != 0 || len(p.results) == 0 {
			return nil, errDrift
		}
		base, from, old = p.count, 1, p.results[len(p.results)-1]
	}
	pages := make([][]T, last-1)
	pages[0] = first.results
	if err := s.middle(ctx, pages, from, base); err != nil {
		return nil, err
	}
	// The end is read when all else is, so that its count tells of everything
	// that happened meanwhile.
	count := 0
	for number := last; number > 0; {
		p, err := s.later(ctx, number)
		if err != nil {
			return nil, err
		}
		pages, count = append(pages, p.results), p.count
		if p.next != 0 && (p.next <= number || p.next > maxPages) {
			return nil, fmt.Errorf("page %d is said to follow page %d", p.next, number)
		}
		number = p.next
	}
	rows, err := s.check(slices.Concat(pages...), count)
	if err != nil {
		return nil, err
	}
	created := 0
	if s.appends {
		for created < len(rows) && s.compare(&rows[len(rows)-1-created], &old) > 0 {
			created++
		}
	}
	if count-created != base {
		return nil, errDrift
	}
	return rows, nil
}

// middle reads all pages from a number to that before the last.
func (s *scan[T]) middle(ctx context.Context, pages [][]T, from, base int) error {
	size := len(pages[0])
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(pagesAtOnce)
	for number := from; number <= len(pages) && ctx.Err() == nil; number++ {
		g.Go(func() error {
			p, err := s.later(ctx, number)
			if err != nil {
				return err
			}
			if len(p.results) != size || p.count < base || p.count > base && !s.appends {
				return errDrift
			}
			pages[number-1] = p.results
			return nil
		})
	}
	return g.Wait()
}

// later reads a page behind the first. If there is none, the list got shorter.
func (s *scan[T]) later(ctx context.Context, number int) (page[T], error) {
	p, err := s.fetch(ctx, number)
	if NotFound(err) {
		return p, errDrift
	}
	return p, err
}

// check sorts the elements and refuses them if they are not as many different
// ones as there should be.
func (s *scan[T]) check(rows []T, count int) ([]T, error) {
	slices.SortFunc(rows, func(a, b T) int { return s.compare(&a, &b) })
	for i := 1; i < len(rows); i++ {
		if s.compare(&rows[i-1], &rows[i]) == 0 {
			return nil, errDrift
		}
	}
	if len(rows) != count {
		return nil, errDrift
	}
	return rows, nil
}
