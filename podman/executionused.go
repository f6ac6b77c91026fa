// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"github.com/containers/podman/v5/pkg/bindings/system"
	"github.com/containers/podman/v5/pkg/bindings/volumes"
)

// Used is how many bytes the files of a named volume hold; 0 where there is none. It
// looks at each of them, since no service knows the sum.
func (x *Executions) Used(ctx context.Context, volume string) (int64, error) {
	v, err := volumes.Inspect(x.rt.with(ctx), volume, nil)
	switch {
	case notFound(err):
		return 0, nil
	case err != nil:
		return 0, oneLine(x.rt.explain("inspect volume "+volume, err))
	case x.rt.remote || v.Mountpoint == "":
		return x.usedAt(ctx, volume)
	}
	sum, err := sizeBelow(ctx, v.Mountpoint)
	switch {
	case err == nil:
		return sum, nil
	case ctx.Err() != nil:
		return 0, fmt.Errorf("measure volume %s: %w", volume, context.Cause(ctx))
	}
	return x.usedAt(ctx, volume) // the service may read what we may not
}

// sizeBelow is the sum of the sizes of all files below a folder, each once.
func sizeBelow(ctx context.Context, dir string) (sum int64, err error) {
	type file struct{ dev, ino uint64 }
	linked := map[file]bool{}
	err = filepath.WalkDir(dir, func(at string, e fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			if at != dir && errors.Is(err, fs.ErrNotExist) {
				return nil // an execution goes on, and removes files
			}
			return err
		}
		if !e.Type().IsRegular() {
			return nil
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink > 1 {
			f := file{uint64(st.Dev), st.Ino} //nolint:unconvert // other systems have other types
			if linked[f] {
				return nil
			}
			linked[f] = true
		}
		sum += info.Size()
		return nil
	})
	return sum, err
}

// usedAt asks the service, which looks at all that it has.
func (x *Executions) usedAt(ctx context.Context, volume string) (int64, error) {
	report, err := system.DiskUsage(x.rt.with(ctx), nil)
	if err != nil {
		return 0, oneLine(x.rt.explain("measure volume "+volume, err))
	}
	for _, v := range report.Volumes {
		if v.VolumeName == volume {
			return v.Size, nil
		}
	}
	return 0, nil
}
