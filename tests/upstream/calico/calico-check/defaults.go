package main

import (
	"errors"

	api "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	"github.com/projectcalico/calico/libcalico-go/lib/names"
	"github.com/projectcalico/calico/libcalico-go/lib/resources"
)

// fillIn sets what libcalico-go's clients set before they validate, as far as the validator looks at it
// (projectcalico/calico:libcalico-go/lib/clientv3).
func fillIn(object any) {
	switch o := object.(type) {
	case *api.GlobalNetworkPolicy:
		fillInTypes(&o.Spec.Types, len(o.Spec.Ingress), len(o.Spec.Egress))
	case *api.StagedGlobalNetworkPolicy:
		if o.Spec.StagedAction != api.StagedActionDelete {
			fillInTypes(&o.Spec.Types, len(o.Spec.Ingress), len(o.Spec.Egress))
		}
	case *api.NetworkPolicy:
		fillInTypes(&o.Spec.Types, len(o.Spec.Ingress), len(o.Spec.Egress))
	case *api.Tier:
		resources.DefaultTierFields(o)
	}
}

// fillInTypes goes by the number of rules: a policy without any rule applies to ingress.
func fillInTypes(types *[]api.PolicyType, ingress, egress int) {
	if len(*types) > 0 {
		return
	}
	if ingress > 0 || egress == 0 {
		*types = append(*types, api.PolicyTypeIngress)
	}
	if egress > 0 {
		*types = append(*types, api.PolicyTypeEgress)
	}
}

// validName checks what the clients check after validation: the name of a policy has to carry its tier, and the
// configuration of kube-controllers has one name only.
func validName(object any) error {
	switch o := object.(type) {
	case *api.GlobalNetworkPolicy:
		return names.ValidateTieredPolicyName(o.Name, o.Spec.Tier)
	case *api.StagedGlobalNetworkPolicy:
		return names.ValidateTieredPolicyName(o.Name, o.Spec.Tier)
	case *api.NetworkPolicy:
		return names.ValidateTieredPolicyName(o.Name, o.Spec.Tier)
	case *api.KubeControllersConfiguration:
		if o.Name != "default" {
			return errors.New("the only valid name is default")
		}
	}
	return nil
}
