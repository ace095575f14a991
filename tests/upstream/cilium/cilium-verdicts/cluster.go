package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"

	clustermesh "github.com/cilium/cilium/pkg/clustermesh/types"
	"github.com/cilium/cilium/pkg/datapath/iptables/ipset"
	"github.com/cilium/cilium/pkg/datapath/tunnel"
	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/ipcache"
	ipcachetypes "github.com/cilium/cilium/pkg/ipcache/types"
	"github.com/cilium/cilium/pkg/k8s"
	cilium "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	core "github.com/cilium/cilium/pkg/k8s/slim/k8s/api/core/v1"
	meta "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	k8sutils "github.com/cilium/cilium/pkg/k8s/utils"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/labelsfilter"
	"github.com/cilium/cilium/pkg/node"
	"github.com/cilium/cilium/pkg/node/addressing"
	"github.com/cilium/cilium/pkg/node/manager"
	nodetypes "github.com/cilium/cilium/pkg/node/types"
	"github.com/cilium/cilium/pkg/option"
	"github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/policy/api"
	"github.com/cilium/cilium/pkg/source"
	testidentity "github.com/cilium/cilium/pkg/testutils/identity"
	"github.com/cilium/cilium/pkg/types"
	"github.com/cilium/hive/cell"
)

// cluster is what the agent of the case's node knows of the cluster: the real ipcache, filled by the real node manager.
type cluster struct {
	*ipcache.IPCache
	// allocator gives out local identities.
	allocator *testidentity.MockIdentityAllocator
	// pods are the identities of pods, by their labels and cluster.
	pods map[string]*identity.Identity
}

// noIPSets stands in for the kernel's sets of node addresses.
type noIPSets struct{}

func (noIPSets) NewInitializer() ipset.Initializer              { return noIPSets{} }
func (noIPSets) AddToIPSet(string, ipset.Family, ...netip.Addr) {}
func (noIPSets) RemoveFromIPSet(string, ...netip.Addr)          {}
func (noIPSets) InitDone()                                      {}

// noWireguard says that WireGuard is off.
type noWireguard struct{}

func (noWireguard) Enabled() bool { return false }

// newCluster builds it. The identities that it allocates go to updater.
func newCluster(one *testCase, policies []applied, updater ipcachetypes.IdentityUpdater) (*cluster, error) {
	// The labels of identity 1 are the agent's global state, which the ipcache adds to.
	identity.AddReservedIdentityWithLabels(identity.ReservedIdentityHost, labels.LabelHost)
	synced := make(chan struct{})
	close(synced)
	allocator := testidentity.NewMockIdentityAllocator(nil)
	c := &cluster{
		IPCache: ipcache.NewIPCache(&ipcache.Configuration{
			Context:           context.Background(),
			Logger:            logger,
			IdentityAllocator: allocator,
			IdentityUpdater:   updater,
			CacheStatus:       synced,
		}),
		allocator: allocator,
		pods:      make(map[string]*identity.Identity),
	}
	if err := c.addNodes(one); err != nil {
		return nil, err
	}
	c.addWorld()
	for _, address := range one.KubeAPIServers {
		resource := ipcachetypes.NewResourceID(ipcachetypes.ResourceKindEndpoint, "default", "kubernetes")
		c.UpsertMetadata(single(address), source.KubeAPIServer, resource, labels.LabelKubeAPIServer)
	}
	for _, applied := range policies {
		resource := ipcachetypes.NewResourceID(ipcachetypes.ResourceKindCCNP, "", applied.name)
		for _, prefix := range policy.GetCIDRPrefixes(applied.entries) {
			c.UpsertMetadataBatch(ipcache.MU{
				Prefix:   clustermesh.NewLocalPrefixCluster(prefix),
				Source:   source.CustomResource,
				Resource: resource,
				Metadata: []ipcache.IPMetadata{labels.GetCIDRLabels(prefix)},
				IsCIDR:   true,
			})
		}
	}
	for _, raw := range one.CIDRGroups {
		if err := c.addGroup(raw); err != nil {
			return nil, err
		}
	}
	revision := c.UpsertMetadataBatch()
	if err := c.WaitForRevision(context.Background(), revision); err != nil {
		return nil, err
	}
	return c, c.addPods(one)
}

func single(address netip.Addr) clustermesh.PrefixCluster {
	return clustermesh.NewLocalPrefixCluster(netip.PrefixFrom(address, address.BitLen()))
}

func (c *cluster) addNodes(one *testCase) error {
	nodetypes.SetName(one.Node)
	health, _ := cell.NewSimpleHealth()
	nodes, err := manager.New(logger, option.Config, tunnel.NewTestConfig(tunnel.VXLAN), c, noIPSets{}, nil,
		manager.NewNodeMetrics(), health, nil, nil, nil, noWireguard{}, node.NewTestLocalNodeStore(node.LocalNode{}))
	if err != nil {
		return err
	}
	for _, written := range one.Nodes {
		parsed := written.parse()
		nodes.NodeUpdated(*parsed)
		if parsed.IsLocal() {
			c.addHostAddresses(&written)
		}
	}
	return nil
}

// parse reads a node as the agent on it does, and adds what that agent publishes besides.
func (n *testNode) parse() *nodetypes.Node {
	object := &core.Node{
		ObjectMeta: meta.ObjectMeta{Name: n.Name, Labels: n.Labels},
		Spec:       core.NodeSpec{PodCIDRs: n.PodCIDRs},
	}
	add := func(kind core.NodeAddressType, addresses []string) {
		for _, address := range addresses {
			object.Status.Addresses = append(object.Status.Addresses, core.NodeAddress{Type: kind, Address: address})
		}
	}
	add(core.NodeInternalIP, n.InternalIPs)
	add(core.NodeExternalIP, n.ExternalIPs)
	parsed := k8s.ParseNode(logger, object, source.CustomResource)
	if n.Cluster != "" {
		parsed.Cluster = n.Cluster
	}
	if parsed.IsLocal() {
		parsed.Source = source.Local
	}
	if own := net.ParseIP(n.CiliumInternalIP); own != nil {
		parsed.IPAddresses = append(parsed.IPAddresses, nodetypes.Address{Type: addressing.NodeCiliumInternalIP, IP: own})
	}
	parsed.IPv4HealthIP, parsed.IPv6HealthIP = byFamily(n.HealthIP)
	parsed.IPv4IngressIP, parsed.IPv6IngressIP = byFamily(n.IngressIP)
	return parsed
}

func byFamily(text string) (four, six net.IP) {
	address := net.ParseIP(text)
	if address.To4() != nil {
		return address, nil
	}
	return nil, address
}

// addHostAddresses does what the agent does with all addresses that it finds on the host's interfaces
// (cilium/cilium:daemon/cmd/hostips-sync.go).
func (c *cluster) addHostAddresses(local *testNode) {
	for _, text := range slices.Concat(local.InternalIPs, local.ExternalIPs, []string{local.CiliumInternalIP}) {
		address, err := netip.ParseAddr(text)
		if err != nil || !hasFamily(address) {
			continue
		}
		c.UpsertMetadata(single(address), source.Local, reservedResource(), labels.LabelHost)
	}
}

// addWorld reserves the prefixes of length 0 (in the same file).
func (c *cluster) addWorld() {
	four, six := labels.LabelWorldIPv4, labels.LabelWorldIPv6
	if !option.Config.EnableIPv4 || !option.Config.EnableIPv6 {
		four, six = labels.LabelWorld, labels.LabelWorld
	}
	world := func(address netip.Addr, its labels.Labels) {
		if hasFamily(address) {
			prefix := clustermesh.NewLocalPrefixCluster(netip.PrefixFrom(address, 0))
			c.OverrideIdentity(prefix, its, source.Local, reservedResource())
		}
	}
	world(netip.IPv4Unspecified(), four)
	world(netip.IPv6Unspecified(), six)
}

func reservedResource() ipcachetypes.ResourceID {
	return ipcachetypes.NewResourceID(ipcachetypes.ResourceKindDaemon, "", "reserved")
}

func hasFamily(address netip.Addr) bool {
	return address.Is4() && option.Config.EnableIPv4 || address.Is6() && option.Config.EnableIPv6
}

// addGroup labels the prefixes of a group (cilium/cilium:pkg/policy/k8s/cilium_cidr_group.go).
func (c *cluster) addGroup(raw json.RawMessage) error {
	var group cilium.CiliumCIDRGroup
	if err := json.Unmarshal(raw, &group); err != nil {
		return fmt.Errorf("not a CIDR group: %w", err)
	}
	all := make(labels.Labels)
	put := func(label labels.Label) { all[label.Key] = label }
	for key, value := range k8sutils.RemoveCiliumLabels(group.Labels) {
		label := labels.NewLabel(key, value, labels.LabelSourceCIDRGroup)
		put(label)
		put(labels.EncodedCIDRGroupLabel(label.Key, label.Value, label.Source))
	}
	put(api.LabelForCIDRGroupRef(group.Name))
	for _, text := range group.Spec.ExternalCIDRs {
		prefix, err := netip.ParsePrefix(string(text))
		if err != nil {
			continue
		}
		its := maps.Clone(all)
		its.AddWorldLabel(prefix.Addr())
		resource := ipcachetypes.NewResourceID(ipcachetypes.ResourceKindCIDRGroup, "", group.Name)
		c.UpsertMetadata(clustermesh.NewLocalPrefixCluster(prefix), source.Generated, resource, its)
	}
	return nil
}

// namespace is what the labels of a pod are made with.
type namespace struct {
	name   string
	labels map[string]string
}

func (n namespace) GetName() string              { return n.name }
func (n namespace) GetLabels() map[string]string { return n.labels }

func (c *cluster) addPods(one *testCase) error {
	namespaces := make(map[string]map[string]string)
	clusters := []string{option.Config.ClusterName}
	for _, pod := range one.Pods {
		if namespaces[pod.Namespace] == nil {
			namespaces[pod.Namespace] = make(map[string]string)
		}
		maps.Copy(namespaces[pod.Namespace], pod.NamespaceLabels)
		if pod.Cluster != "" && !slices.Contains(clusters, pod.Cluster) {
			clusters = append(clusters, pod.Cluster)
		}
	}
	for i, pod := range one.Pods {
		if pod.Cluster == "" {
			pod.Cluster = option.Config.ClusterName
		}
		id := identity.LookupReservedIdentity(identity.ReservedIdentityUnmanaged)
		if !pod.Unmanaged {
			its := podLabels(&pod, namespace{pod.Namespace, namespaces[pod.Namespace]})
			if option.Config.PolicyCIDRMatchesPods() {
				maps.Copy(its, c.prefixLabels(pod.IP))
			}
			id = c.podIdentity(its, uint32(slices.Index(clusters, pod.Cluster)))
		}
		ports := make(types.NamedPortMap)
		for _, port := range pod.NamedPorts {
			if err := ports.AddPort(port.Name, port.Port, port.Protocol); err != nil {
				return err
			}
		}
		metadata := &ipcache.K8sMetadata{Namespace: pod.Namespace, PodName: fmt.Sprintf("pod-%d", i), NamedPorts: ports}
		// An address that something stronger holds already stays as it is.
		_, _ = c.Upsert(pod.IP.String(), nil, 0, metadata, ipcache.Identity{ID: id.ID, Source: source.CustomResource})
	}
	return nil
}

func podLabels(pod *testPod, its namespace) labels.Labels {
	all := k8sutils.SanitizePodLabels(pod.Labels, its, pod.ServiceAccount, pod.Cluster)
	kept, _ := labelsfilter.Filter(labels.Map2Labels(all, labels.LabelSourceK8s))
	return kept
}

// prefixLabels are those that a pod takes over from the prefixes around it (cilium/cilium:pkg/endpoint/endpoint.go,
// computeCIDRLabelsRLocked).
func (c *cluster) prefixLabels(address netip.Addr) labels.Labels {
	found, prefixed := make(labels.Labels), false
	put := func(label labels.Label) { found[label.GetExtendedKey()] = label }
	for _, label := range c.GetMetadataLabels(address) {
		if label.Source == labels.LabelSourceCIDR || label.Source == labels.LabelSourceCIDRGroup {
			put(label)
			prefixed = prefixed || label.Source == labels.LabelSourceCIDR
		}
	}
	if !prefixed {
		everything := "cidr:::/0"
		if address.Is4() {
			everything = "cidr:0.0.0.0/0"
		}
		put(labels.ParseLabel(everything))
	}
	return found
}

// podIdentity is the identity of all pods with these labels. Its number says which cluster it is of: index 0 is the
// agent's own.
func (c *cluster) podIdentity(its labels.Labels, index uint32) *identity.Identity {
	key := fmt.Sprintf("%d %s", index, its.SortedList())
	known, ok := c.pods[key]
	if !ok {
		first := identity.GetMinimalAllocationIdentity(option.Config.ClusterID + index)
		known = identity.NewIdentity(first+identity.NumericIdentity(len(c.pods)), its)
		c.pods[key] = known
	}
	return known
}
