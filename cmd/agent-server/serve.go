// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	defaultPort = "7000"
	// toolsFile is in the agent's folder.
	toolsFile = "mcp-config.json"
)

// serve is the default supervisor. It returns when it is told to stop.
func serve(logger *slog.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT)
	defer stop()
	// What init passes on and an agent without a program has no use for.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)

	port := os.Getenv("PORT")
	if port == "" {
		port = defaultPort
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return &statusError{exitUsage, fmt.Errorf("PORT: %q is not a port", port)}
	}
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return err
	}
	sup := &supervisor{
		agent:   os.Getenv("AGENT_NAME"),
		alias:   os.Getenv("AGENT_ALIAS"),
		started: time.Now(),
		tools:   &toolbox{path: filepath.Join(codePath(), toolsFile), log: logger, ctx: ctx},
	}
	sup.tools.current()
	server := &http.Server{
		Handler:           sup.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}
	logger.Info("listening", "addr", listener.Addr())

	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := server.Shutdown(last); err != nil {
		server.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

type supervisor struct {
	agent, alias string
	started      time.Time
	tools        *toolbox
}

func (s *supervisor) handler() http.Handler {
	// Tool calls neither need a session nor a stream, so that any server of the
	// agent can answer any request and a plain POST is enough.
	mcpHandler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server {
		server, _ := s.tools.current()
		return server
	}, &mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true})

	mux := http.NewServeMux()
	mux.HandleFunc("GET /mcp/status", s.status)
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"ok": true})
	})
	mux.Handle("/mcp", mcpHandler)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusNotFound, map[string]any{"ok": false, "error": "no such path: " + r.URL.Path})
	})
	return guardOrigin(mux, s.agent, s.alias)
}

// status says running as long as it can answer; a broken mcp-config.json is
// told in errors.
func (s *supervisor) status(w http.ResponseWriter, _ *http.Request) {
	_, report := s.tools.current()
	body := map[string]any{
		"ok":     len(report.problems) == 0,
		"status": "running",
		"agent":  s.agent,
		"alias":  s.alias,
		"uptime": float64(time.Since(s.started).Milliseconds()) / 1000, // seconds
		"tools":  report.tools,
	}
	if len(report.problems) > 0 {
		body["errors"] = report.problems
	}
	writeJSON(w, http.StatusOK, body)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The client has gone when this fails; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(body)
}
