package authentiktest

import (
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"strconv"
)

type pagination struct {
	Next       int `json:"next"`
	Previous   int `json:"previous"`
	Count      int `json:"count"`
	Current    int `json:"current"`
	TotalPages int `json:"total_pages"`
	StartIndex int `json:"start_index"`
	EndIndex   int `json:"end_index"`
}

type envelope struct {
	Pagination   pagination       `json:"pagination"`
	Results      any              `json:"results"`
	Autocomplete *json.RawMessage `json:"autocomplete,omitempty"`
}

// window is the part of a list that a page holds.
type window struct {
	pagination
	from, to int
}

// page cuts a page out of a list of count rows, and answers 404 itself if there
// is no such page.
func (s *Server) page(c *call, q url.Values, count int) (window, bool) {
	size, limit := 100, math.MaxInt
	if s.is2026() {
		size, limit = 20, 100
	}
	if s.o.PageSize > 0 {
		size = s.o.PageSize
	}
	if s.o.MaxPageSize > 0 {
		limit = s.o.MaxPageSize
	}
	if n, err := strconv.Atoi(q.Get("page_size")); err == nil && n > 0 {
		size = min(n, limit)
	}
	total := max(1, (count-1)/size+1)
	number := 1
	if text := q.Get("page"); text == "last" {
		number = total
	} else if text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > total {
			c.detail(http.StatusNotFound, "Invalid page.")
			return window{}, false
		}
		number = n
	}
	w := window{from: (number - 1) * size, to: min(number*size, count)}
	w.pagination = pagination{Previous: number - 1, Count: count, Current: number, TotalPages: total, EndIndex: w.to}
	if number < total {
		w.Next = number + 1
	}
	if count > 0 {
		w.StartIndex = w.from + 1
	}
	return w, true
}

func (s *Server) envelope(w window, results any) envelope {
	e := envelope{Pagination: w.pagination, Results: results}
	if !s.o.NoAutocomplete {
		empty := json.RawMessage("{}")
		e.Autocomplete = &empty
	}
	return e
}
