// SPDX-License-Identifier: Apache-2.0

package workspace

// CheckImage returns what is wrong with an image reference of a manifest.
func CheckImage(image string) error {
	_, err := normalize(image)
	return err
}
