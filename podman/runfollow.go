// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// followPoll is how often a log that goes on is looked at.
const followPoll = 100 * time.Millisecond

// FollowLog is [RunLog] of what goes on: it writes what comes until ended says that
// nothing more does, or ctx ends, which is no error. There may be no log yet, and
// never one.
func FollowLog(ctx context.Context, dir, key string, opt LogOptions, ended func() bool, stdout, stderr io.Writer) error {
	if !runKey.MatchString(key) {
		return fmt.Errorf("logs: %q is no run", key)
	}
	var f *os.File
	for {
		over := ended() // before the look: what came by then is there
		var err error
		if f, err = openLog(dir, key); err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("logs: %w", err)
		}
		if over || !pause(ctx, followPoll) {
			return nil
		}
	}
	defer f.Close()
	err := writeLog(ctx, f, &growing{ctx, f, ended}, opt, stdout, stderr)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("logs: %w", err)
	}
	return nil
}

// growing reads a file that others write to until they have ended.
type growing struct {
	ctx   context.Context
	file  *os.File
	ended func() bool
}

// Read implements [io.Reader].
func (g *growing) Read(p []byte) (int, error) {
	for {
		over := g.ended()
		n, err := g.file.Read(p)
		if n > 0 || err != nil && !errors.Is(err, io.EOF) {
			return n, err
		}
		if over || !pause(g.ctx, followPoll) {
			return 0, io.EOF
		}
	}
}
