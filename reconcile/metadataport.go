// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
)

// maxPortFile is more than a port takes.
const maxPortFile = 16

// MetadataPort is the port at which the workspace is heard in its networks: DaemonAgents
// are given it when they are made, so that it stays the same. The first that asks
// has it chosen, and kept; 0 = none was found.
func (s *Store) MetadataPort(choose func() uint16) (uint16, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	port, err := s.readPort()
	if err != nil || port != 0 {
		return port, err
	}
	if s.readOnly {
		return 0, fmt.Errorf("choose a port: %w", errReadOnly)
	}
	if port = choose(); port == 0 {
		return 0, nil
	}
	if err := s.durable(s.portFile(), []byte(strconv.Itoa(int(port))+"\n")); err != nil {
		return 0, fmt.Errorf("keep the port of the metadata service: %w", err)
	}
	return port, nil
}

func (s *Store) readPort() (uint16, error) {
	b, err := readSmall(s.portFile(), maxPortFile)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the port of the metadata service: %w", err)
	}
	port, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("the port of the metadata service in %s is damaged; remove the file, and another one is chosen", s.portFile())
	}
	return uint16(port), nil
}

func (s *Store) portFile() string { return filepath.Join(s.dataDir(), "metadata-port") }
