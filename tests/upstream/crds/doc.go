// Package crds lets controller-gen see Calico's Go types, from which it writes the CRDs of projectcalico.org/v3.
package crds

import _ "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
