// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// logFile is the log of a run in its folder, in the format k8s-file of Podman.
const logFile = "log"

// RunLog writes the log of the run with the key as [Runtime.Logs] does, from what
// is left of it in dir, the folder of its Task (see plan.RunsDir): for a run whose
// container is gone. There is nothing to follow, so that such a log ends. Without a
// log the error is [fs.ErrNotExist].
func RunLog(ctx context.Context, dir, key string, opt LogOptions, stdout, stderr io.Writer) error {
	if !runKey.MatchString(key) {
		return fmt.Errorf("logs: %q is no run", key)
	}
	f, err := openLog(dir, key)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("logs: there is no log of the run %s: %w", key, fs.ErrNotExist)
	}
	if err != nil {
		return fmt.Errorf("logs: %w", err)
	}
	defer f.Close()
	if err := writeLog(ctx, f, f, opt, stdout, stderr); err != nil {
		return fmt.Errorf("logs: %w", err)
	}
	return nil
}

func openLog(dir, key string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, key, logFile), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
}

// writeLog writes the log that from reads of f, which is at its start.
func writeLog(ctx context.Context, f *os.File, from io.Reader, opt LogOptions, stdout, stderr io.Writer) error {
	skip := 0
	if opt.Tail > 0 {
		lines := 0
		if err := eachLine(ctx, f, opt.Since, func(logLine) error { lines++; return nil }); err != nil {
			return err
		}
		skip = max(0, lines-opt.Tail)
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	return eachLine(ctx, from, opt.Since, func(l logLine) error {
		if skip > 0 {
			skip--
			return nil
		}
		to := stdout
		if l.stream == "stderr" {
			to = stderr
		}
		text := l.text
		if opt.Timestamps {
			text = append([]byte(l.at.Format(logTime)+" "), text...)
		}
		_, err := to.Write(append(text, '\n'))
		return err
	})
}

// maxLine bounds in bytes what is kept of a line until it has ended: some never end.
const maxLine = 1 << 20

// logTime is how Podman prints the times of lines; one before 5 leaves out what is
// less than a second.
const logTime = "2006-01-02T15:04:05.000000000Z07:00"

// logLine is one line that a container wrote.
type logLine struct {
	at     time.Time
	stream string // stdout or stderr
	text   []byte
}

// eachLine calls do with the lines of a log in the order in which they ended.
// Podman writes a line that is long, or comes in parts, as several entries, and the
// parts of the two streams may be mixed. A line longer than [maxLine] becomes several. What is no entry is left out, as a last
// one may be that was cut off with the host.
func eachLine(ctx context.Context, from io.Reader, since time.Time, do func(logLine) error) error {
	r := bufio.NewReaderSize(from, 64<<10)
	begun := map[string]*logLine{} // by stream
	var order []string
	for {
		raw, err := r.ReadBytes('\n')
		if l, whole, ok := parseEntry(bytes.TrimSuffix(raw, []byte("\n"))); ok {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if b := begun[l.stream]; b != nil {
				b.text = append(b.text, l.text...)
				b.at = l.at
			} else {
				begun[l.stream] = &l
				order = append(order, l.stream)
			}
			if whole || len(begun[l.stream].text) >= maxLine {
				done := *begun[l.stream]
				delete(begun, l.stream)
				if !done.at.Before(since) {
					if err := do(done); err != nil {
						return err
					}
				}
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	for _, stream := range order {
		if b := begun[stream]; b != nil && !b.at.Before(since) {
			delete(begun, stream)
			if err := do(*b); err != nil {
				return err
			}
		}
	}
	return nil
}

// parseEntry reads TIME STREAM TAG TEXT; the tag P is of a part of a line.
func parseEntry(raw []byte) (l logLine, whole, ok bool) {
	fields := bytes.SplitN(raw, []byte(" "), 4)
	if len(fields) != 4 {
		return logLine{}, false, false
	}
	at, err := time.Parse(time.RFC3339Nano, string(fields[0]))
	stream, tag := string(fields[1]), string(fields[2])
	if err != nil || stream != "stdout" && stream != "stderr" || tag != "F" && tag != "P" {
		return logLine{}, false, false
	}
	return logLine{at: at, stream: stream, text: bytes.Clone(fields[3])}, tag == "F", true
}
