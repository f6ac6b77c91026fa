// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"container/heap"
	"maps"
	"slices"
)

// sortGraph orders keys so that each comes after those it points to in after,
// ties by key. Pointers to what is not among keys count as satisfied. What lies
// on a cycle, or behind one, is returned in rest, sorted.
func sortGraph(keys []string, after map[string][]string) (order, rest []string) {
	open := make(map[string]int, len(keys)) // keys not yet ordered → what they still wait for
	for _, k := range keys {
		open[k] = 0
	}
	users := map[string][]string{}
	for k := range open {
		for _, dep := range after[k] {
			if _, ok := open[dep]; ok {
				users[dep] = append(users[dep], k)
				open[k]++
			}
		}
	}
	var ready stringHeap
	for k, n := range open {
		if n == 0 {
			ready = append(ready, k)
		}
	}
	heap.Init(&ready)
	for ready.Len() > 0 {
		k := heap.Pop(&ready).(string)
		order = append(order, k)
		delete(open, k)
		for _, u := range users[k] {
			if open[u]--; open[u] == 0 {
				heap.Push(&ready, u)
			}
		}
	}
	return order, slices.Sorted(maps.Keys(open))
}

type stringHeap []string

func (h stringHeap) Len() int           { return len(h) }
func (h stringHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h stringHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *stringHeap) Push(x any)        { *h = append(*h, x.(string)) }
func (h *stringHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
