// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
)

// logger is for packages that log: one line a record on stderr, in the form of
// every other line there. What is less than a warning needs -v.
func (a *app) logger() *slog.Logger {
	level := slog.LevelWarn
	if a.verbose {
		level = slog.LevelInfo
	}
	return slog.New(&lineHandler{w: a.std.err, level: level, mu: &sync.Mutex{}})
}

// lineHandler writes "warning: message (key=value, …)".
type lineHandler struct {
	w     io.Writer
	level slog.Level
	mu    *sync.Mutex
	attrs []string
	group string
}

func (h *lineHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

func (h *lineHandler) Handle(_ context.Context, r slog.Record) error {
	attrs := append([]string(nil), h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, h.text(a))
		return true
	})
	text := strings.ToLower(r.Level.String()) + ": "
	if r.Level >= slog.LevelWarn && r.Level < slog.LevelError {
		text = "warning: "
	}
	text += r.Message
	if len(attrs) > 0 {
		text += " (" + strings.Join(attrs, ", ") + ")"
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := fmt.Fprintln(h.w, escape(text))
	return err
}

func (h *lineHandler) text(a slog.Attr) string { return h.group + a.Key + "=" + a.Value.String() }

func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.attrs = append([]string(nil), h.attrs...)
	for _, a := range attrs {
		with.attrs = append(with.attrs, h.text(a))
	}
	return &with
}

func (h *lineHandler) WithGroup(name string) slog.Handler {
	with := *h
	with.group += name + "."
	return &with
}
