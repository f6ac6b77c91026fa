// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
)

// Remove ends the container and removes it, with the nameless volumes of its image.
// Where that fails it is tried again after the next removal, whoever asks for that.
func (x *Executions) Remove(ctx context.Context, handle string) error {
	err := x.remove(ctx, handle)
	if err != nil {
		x.owe(handle)
		return oneLine(err)
	}
	if e, _ := x.find(handle); e.stream != nil {
		_ = e.stream.Close()
	}
	x.mu.Lock()
	delete(x.made, handle)
	x.mu.Unlock()
	x.settle(ctx)
	return nil
}

func (x *Executions) remove(ctx context.Context, handle string) error {
	return x.rt.explain("remove "+shortID(handle), removeAtOnce(x.rt.with(ctx), handle))
}

// removeCut removes what there is of a container that was not finished.
func (x *Executions) removeCut(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
	defer cancel()
	if err := x.remove(ctx, name); err != nil {
		x.owe(name)
		x.opt.Log.Warn("what was not finished is not removed yet", "container", name, "err", err)
	}
}

// owe notes what nobody may ask about any more, and is to be removed all the same.
func (x *Executions) owe(handle string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.owed[handle] = true
}

// settle removes what could not be removed before.
func (x *Executions) settle(ctx context.Context) {
	x.mu.Lock()
	owed := x.owed
	x.owed = map[string]bool{}
	x.mu.Unlock()
	for handle := range owed {
		if err := x.remove(ctx, handle); err != nil {
			x.owe(handle)
		}
	}
}
