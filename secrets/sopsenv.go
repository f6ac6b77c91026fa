// SPDX-License-Identifier: Apache-2.0

package secrets

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// plainVariables are passed to sops, and may be quoted; secretVariables are passed
// and may not. Nothing else of the operator's environment is passed.
func plainVariables() []string {
	return []string{
		"HOME", "PATH", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "GNUPGHOME",
		"SSL_CERT_FILE", "SSL_CERT_DIR", "NO_PROXY", "no_proxy",
		envKeyFile, "SOPS_AGE_KEY_CMD", envSSHKeyFile, "SOPS_AGE_SSH_PRIVATE_KEY_CMD",
		"SOPS_GPG_EXEC", "SOPS_DECRYPTION_ORDER", "SOPS_KEYSERVICE", "SOPS_ENABLE_LOCAL_KEYSERVICE",
		"SOPS_GCP_KMS_CLIENT_TYPE", "SOPS_GCP_KMS_ENDPOINT", "SOPS_GCP_KMS_UNIVERSE_DOMAIN", "SOPS_HC_VAULT_ALLOWLIST",
		"AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CA_BUNDLE",
		"AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_EC2_METADATA_DISABLED",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
		"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS",
		"GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CONFIG",
		"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST",
		"AZURE_ENVIRONMENT", "IDENTITY_ENDPOINT", "MSI_ENDPOINT",
		"VAULT_ADDR", "VAULT_NAMESPACE", "VAULT_CACERT", "VAULT_CAPATH",
		"HUAWEICLOUD_SDK_PROJECT_ID", "HUAWEICLOUD_SDK_DOMAIN_ID", "HUAWEICLOUD_SDK_CREDENTIALS_FILE",
	}
}

func secretVariables() []string {
	return []string{
		envKey, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
		"GOOGLE_CREDENTIALS", "GOOGLE_OAUTH_ACCESS_TOKEN", "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "IDENTITY_HEADER",
		"VAULT_TOKEN", "HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "HUAWEICLOUD_SDK_SECURITY_TOKEN",
		"HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy",
	}
}

// environment is that of sops. AgeKey goes before all that says where else a key
// of age might be.
func (o Options) environment() ([]string, error) {
	var env []string
	for _, name := range slices.Concat(plainVariables(), secretVariables()) {
		key := strings.HasPrefix(name, "SOPS_AGE_")
		if value := o.lookup(name); value != "" && (!key || o.AgeKey == "") {
			env = append(env, name+"="+value)
		}
	}
	if o.AgeKey == "" {
		return env, nil
	}
	file, err := filepath.Abs(o.AgeKey)
	if err != nil {
		return nil, err
	}
	text, err := readKeyFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	if isSSHKey(text) {
		return append(env, envSSHKeyFile+"="+file), nil
	}
	return append(env, envKeyFile+"="+file), nil
}

// ReadableByOthers reports whether somebody else may read the file of identities,
// and which one that is.
func (o Options) ReadableByOthers() (file string, ok bool) {
	file = o.KeyFile()
	info, err := os.Stat(file)
	return file, err == nil && info.Mode().Perm()&0o077 != 0
}
