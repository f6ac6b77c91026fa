// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"container/heap"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// LogEntry is one commit of a changelog.
type LogEntry struct {
	Commit  string
	Subject string // first line of the message
	Author  string
	Time    time.Time
}

// Log returns the commits that newer has and older lacks, newest first, at most
// limit, and whether there are more. It brings history into the mirror as far
// as that needs. An empty older means newer alone.
func (s *Store) Log(ctx context.Context, src Source, older, newer string, limit int) (log []LogEntry, more bool, err error) {
	if older == "" {
		e, more, err := s.entry(src, newer)
		if err != nil {
			return nil, false, fmt.Errorf("read history: %w", err)
		}
		return []LogEntry{e}, more, nil
	}
	repo, err := s.history(ctx, src, older, newer)
	if err != nil {
		return nil, false, fmt.Errorf("read history: %w", err)
	}
	err = repo.again(func(g *git.Repository) (err error) {
		log, more, err = newHistory(g).between(plumbing.NewHash(older), plumbing.NewHash(newer), limit)
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("read history: %w", err)
	}
	return log, more, nil
}

// entry returns a commit that is here, and whether it has parents.
func (s *Store) entry(src Source, commit string) (LogEntry, bool, error) {
	repo, err := s.repo(src, commit)
	if err != nil {
		return LogEntry{}, false, err
	}
	var c *object.Commit
	err = repo.again(func(g *git.Repository) (err error) {
		c, err = newHistory(g).commit(plumbing.NewHash(commit))
		return err
	})
	if err != nil {
		return LogEntry{}, false, err
	}
	return logEntry(c), len(c.ParentHashes) > 0, nil
}

// history walks the commits of a repository. A shallow one ends where its
// history does.
type history struct {
	git     *git.Repository
	shallow map[plumbing.Hash]bool
}

func newHistory(r *git.Repository) *history {
	h := &history{git: r, shallow: map[plumbing.Hash]bool{}}
	// Unreadable, it is as if there were none: a missing parent is then an error.
	border, _ := r.Storer.Shallow()
	for _, hash := range border {
		h.shallow[hash] = true
	}
	return h
}

func (h *history) commit(hash plumbing.Hash) (*object.Commit, error) {
	c, err := h.git.CommitObject(hash)
	if err != nil {
		return nil, fmt.Errorf("commit %s: %w", hash, err)
	}
	return c, nil
}

func (h *history) parents(c *object.Commit) []plumbing.Hash {
	if h.shallow[c.Hash] {
		return nil
	}
	return c.ParentHashes
}

// isAncestor reports whether newer has older in its history, or is it. Commit
// times are not trusted, so a no costs the whole history of newer.
func (h *history) isAncestor(older, newer plumbing.Hash) (bool, error) {
	if older == newer {
		return true, nil
	}
	seen := map[plumbing.Hash]bool{newer: true}
	for todo := []plumbing.Hash{newer}; len(todo) > 0; {
		c, err := h.commit(todo[len(todo)-1])
		if err != nil {
			return false, err
		}
		todo = todo[:len(todo)-1]
		for _, p := range h.parents(c) {
			if p == older {
				return true, nil
			}
			if !seen[p] {
				seen[p] = true
				todo = append(todo, p)
			}
		}
	}
	return false, nil
}

// between returns what newer has and older lacks, newest first; a commit never
// comes before one that is built on it.
func (h *history) between(older, newer plumbing.Hash, limit int) (log []LogEntry, more bool, err error) {
	w := &walk{history: h, nodes: map[plumbing.Hash]*node{}}
	if err := w.add(newer, false); err != nil {
		return nil, false, err
	}
	if err := w.add(older, true); err != nil {
		return nil, false, err
	}
	if err := w.run(); err != nil {
		return nil, false, err
	}
	for _, n := range w.sorted() {
		if len(log) == limit {
			return log, true, nil
		}
		log = append(log, logEntry(n.commit))
	}
	return log, false, nil
}

// walk goes from the newest commit to older ones, until all that is left to
// visit is known to older.
type walk struct {
	*history
	nodes map[plumbing.Hash]*node
	queue queue
	fresh int // in the queue, and not known
}

type node struct {
	commit  *object.Commit
	known   bool // to older
	visited bool
}

func (w *walk) add(hash plumbing.Hash, known bool) error {
	if n := w.nodes[hash]; n != nil {
		if known {
			w.paint(n)
		}
		return nil
	}
	c, err := w.commit(hash)
	if err != nil {
		return err
	}
	n := &node{commit: c, known: known}
	w.nodes[hash] = n
	heap.Push(&w.queue, n)
	if !known {
		w.fresh++
	}
	return nil
}

// paint marks a commit as known, with all that was seen of its history.
func (w *walk) paint(n *node) {
	for todo := []*node{n}; len(todo) > 0; {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if n.known {
			continue
		}
		n.known = true
		if !n.visited {
			w.fresh--
			continue
		}
		for _, p := range w.parents(n.commit) {
			if parent := w.nodes[p]; parent != nil {
				todo = append(todo, parent)
			}
		}
	}
}

// slack is how many commits are visited after the last that can matter. Where
// clocks were wrong, one of them may yet show that others are known.
const slack = 100

func (w *walk) run() error {
	var oldest time.Time // of the commits that are not known, as far as visited
	for left := slack; len(w.queue) > 0; {
		if w.fresh > 0 || !w.queue[0].commit.Committer.When.Before(oldest) {
			left = slack
		} else if left--; left < 0 {
			return nil
		}
		n, _ := heap.Pop(&w.queue).(*node)
		n.visited = true
		if !n.known {
			w.fresh--
			if when := n.commit.Committer.When; oldest.IsZero() || when.Before(oldest) {
				oldest = when
			}
		}
		for _, p := range w.parents(n.commit) {
			if err := w.add(p, n.known); err != nil {
				return err
			}
		}
	}
	return nil
}

// sorted orders what is not known: by time, but children first.
func (w *walk) sorted() []*node {
	children := map[plumbing.Hash]int{}
	for _, n := range w.nodes {
		if n.known {
			continue
		}
		for _, p := range w.parents(n.commit) {
			children[p]++
		}
	}
	var ready queue
	for hash, n := range w.nodes {
		if !n.known && children[hash] == 0 {
			heap.Push(&ready, n)
		}
	}
	var list []*node
	for len(ready) > 0 {
		n, _ := heap.Pop(&ready).(*node)
		list = append(list, n)
		for _, p := range w.parents(n.commit) {
			if children[p]--; children[p] == 0 && w.nodes[p] != nil && !w.nodes[p].known {
				heap.Push(&ready, w.nodes[p])
			}
		}
	}
	return list
}

// queue gives the newest commit first; the hash decides between equals, so that
// the order is always the same.
type queue []*node

func (q queue) Len() int      { return len(q) }
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q queue) Less(i, j int) bool {
	a, b := q[i].commit, q[j].commit
	if !a.Committer.When.Equal(b.Committer.When) {
		return a.Committer.When.After(b.Committer.When)
	}
	return a.Hash.String() < b.Hash.String()
}

func (q *queue) Push(x any) {
	n, _ := x.(*node)
	*q = append(*q, n)
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	n := (*q)[last]
	*q = slices.Delete(*q, last, last+1)
	return n
}

func logEntry(c *object.Commit) LogEntry {
	subject, _, _ := strings.Cut(strings.TrimLeft(c.Message, "\n"), "\n")
	return LogEntry{Commit: c.Hash.String(), Subject: strings.TrimSpace(subject), Author: c.Author.Name, Time: c.Committer.When}
}
