// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"strconv"
)

// Restarts is what a [RecordRestarts] counts for an object with the digest; 0
// when it counted for another one, or is no such record.
func (r Record) Restarts(digest string) int { return r.counted("count", digest) }

// isOf reports whether a [RecordRestarts] is of an object with the digest.
func (r Record) isOf(digest string) bool {
	of := r.Data["digest"]
	return of == "" || of == digest
}

func (r Record) counted(what, digest string) int {
	if !r.isOf(digest) {
		return 0
	}
	n, err := strconv.Atoi(r.Data[what])
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// PortData is the Data of a [RecordPorts] for published ports.
func PortData(ports []Port) map[string]string {
	data := map[string]string{}
	for _, p := range ports {
		data[portKey(p)] = strconv.Itoa(int(p.HostPort))
	}
	return data
}

// portKey is how [RecordPorts] names a container port.
func portKey(p Port) string { return fmt.Sprintf("%d/%s", p.Container, p.Protocol) }
