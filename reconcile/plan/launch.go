// SPDX-License-Identifier: Apache-2.0

package plan

// Launch is what the container of one execution of a TaskAgent is made of. No step
// makes one: dispatch asks a runtime for it.
type Launch struct {
	Agent     ID
	Role      Role   // RoleExecution or RoleSlot
	Session   string // that it belongs to
	Name      string // begins the name of the container, see [Dispatch]
	Key       string // 16 hex digits, new for each container: for the rest of it
	Execution string // the id of the execution, up to 128 printable ASCII characters; "" for a slot
	Revision  string // as in word-count-00003
	// Spec is how the container is to be. It is shared, and not to be changed.
	Spec *ContainerSpec
	// Image is what Spec.Image is bound to, see [Revision.Image]; "" = it was not
	// known.
	Image string
	// Env are variables beside those of Spec, which come later and win.
	Env []EnvVar
	// Stdin: the process reads what is written to it; without it, it reads the end of
	// a file at once.
	Stdin bool
}
