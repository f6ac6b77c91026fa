// SPDX-License-Identifier: Apache-2.0

package repostest

import (
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"os"
	"path/filepath"
	"testing"
)

// certificate writes a PEM file.
func certificate(t testing.TB, cert *x509.Certificate) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// quiet is for servers whose clients break off on purpose.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
