// Command cni gives the pods of a kind node their network: it writes the configuration of Debian's CNI plugins for the
// node's own ranges, keeps a route to every other node's ranges, and masquerades what leaves the pods' ranges. IPv4 and
// IPv6. All nodes of kind are on one segment, so a route by a node's address is all that it takes.
//
// It stands where kindnetd would, by kind's own manifest, and needs of it: POD_SUBNET, POD_IP and the
// nodes' list. It enforces no NetworkPolicy.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

const (
	configuration = "/etc/cni/net.d/10-lbproof.conflist"
	chain         = "LBPROOF-MASQ"
	protocol      = 98 // of our routes, so that only they are removed
)

func main() {
	config, err := rest.InClusterConfig()
	if err != nil {
		log.Fatal(err)
	}
	if endpoint := os.Getenv("CONTROL_PLANE_ENDPOINT"); endpoint != "" {
		config.Host = "https://" + endpoint // the Service's address is kube-proxy's, which may come later or never
	}
	factory := informers.NewSharedInformerFactory(kubernetes.NewForConfigOrDie(config), time.Minute)
	nodes := factory.Core().V1().Nodes()
	changed := make(chan struct{}, 1)
	notify := func() {
		select {
		case changed <- struct{}{}:
		default: // it is to be looked at already
		}
	}
	_, err = nodes.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { notify() },
		UpdateFunc: func(_, _ any) { notify() },
		DeleteFunc: func(any) { notify() },
	})
	if err != nil {
		log.Fatal(err)
	}
	factory.Start(context.Background().Done())
	factory.WaitForCacheSync(context.Background().Done())
	again := time.NewTicker(30 * time.Second) // what somebody else has removed comes back
	for {
		if err := bring(nodes.Lister(), os.Getenv("POD_IP"), strings.Split(os.Getenv("POD_SUBNET"), ",")); err != nil {
			log.Print(err)
		}
		select {
		case <-changed:
		case <-again.C:
		}
	}
}

// bring makes this node's configuration, routes and rules what the list of nodes wants.
func bring(lister listers.NodeLister, self string, subnets []string) error {
	nodes, err := lister.List(labels.Everything())
	if err != nil {
		return err
	}
	wanted := map[string]netip.Addr{}
	var own []netip.Prefix
	for _, node := range nodes {
		ranges, addresses := rangesOf(node), addressesOf(node)
		if isAt(self, addresses) {
			own = ranges
			continue
		}
		for _, pods := range ranges {
			for _, address := range addresses {
				if address.Is4() == pods.Addr().Is4() {
					wanted[pods.String()] = address
				}
			}
		}
	}
	if err := route(wanted); err != nil {
		return err
	}
	for _, subnet := range subnets {
		if err := masquerade(subnet); err != nil {
			return err
		}
	}
	if len(own) == 0 {
		return nil // not given yet; the change of the node will tell
	}
	return write(own) // last: it makes the node ready
}

func rangesOf(node *core.Node) []netip.Prefix {
	texts := node.Spec.PodCIDRs
	if len(texts) == 0 && node.Spec.PodCIDR != "" {
		texts = []string{node.Spec.PodCIDR}
	}
	var found []netip.Prefix
	for _, text := range texts {
		if prefix, err := netip.ParsePrefix(text); err == nil {
			found = append(found, prefix)
		}
	}
	return found
}

func addressesOf(node *core.Node) []netip.Addr {
	var found []netip.Addr
	for _, row := range node.Status.Addresses {
		if row.Type != core.NodeInternalIP {
			continue
		}
		if address, err := netip.ParseAddr(row.Address); err == nil {
			found = append(found, address)
		}
	}
	return found
}

func isAt(self string, addresses []netip.Addr) bool {
	own, err := netip.ParseAddr(self)
	if err != nil {
		log.Fatalf("POD_IP %q: %v", self, err)
	}
	for _, address := range addresses {
		if address == own {
			return true
		}
	}
	return false
}

// route gives every other node's range a route by its node, and removes those of nodes that are gone.
func route(wanted map[string]netip.Addr) error {
	for text, gateway := range wanted {
		destination, err := netlink.ParseIPNet(text)
		if err != nil {
			return err
		}
		row := netlink.Route{Dst: destination, Gw: gateway.AsSlice(), Protocol: protocol}
		if err := netlink.RouteReplace(&row); err != nil {
			return fmt.Errorf("route %s via %s: %w", text, gateway, err)
		}
	}
	have, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Protocol: protocol}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return err
	}
	for _, row := range have {
		if row.Dst == nil {
			continue
		}
		if _, stays := wanted[row.Dst.String()]; !stays {
			if err := netlink.RouteDel(&row); err != nil {
				return fmt.Errorf("route %s: %w", row.Dst, err)
			}
		}
	}
	return nil
}

// masquerade lets pods speak to what is not a pod with their node's address.
func masquerade(subnet string) error {
	prefix, err := netip.ParsePrefix(strings.TrimSpace(subnet))
	if err != nil {
		return fmt.Errorf("POD_SUBNET: %w", err)
	}
	program := "iptables"
	if prefix.Addr().Is6() {
		program = "ip6tables"
	}
	_ = rule(program, "-N", chain) // there already, most of the time
	for _, one := range [][]string{
		{chain, "-d", prefix.String(), "-j", "RETURN"},
		{chain, "-m", "addrtype", "--dst-type", "LOCAL", "-j", "RETURN"},
		{chain, "-j", "MASQUERADE"},
		{"POSTROUTING", "-s", prefix.String(), "-j", chain},
	} {
		if rule(program, append([]string{"-C"}, one...)...) == nil {
			continue
		}
		if err := rule(program, append([]string{"-A"}, one...)...); err != nil {
			return err
		}
	}
	return nil
}

func rule(program string, arguments ...string) error {
	arguments = append([]string{"-w", "-t", "nat"}, arguments...)
	if said, err := exec.Command(program, arguments...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(arguments, " "), err, said)
	}
	return nil
}

// write makes the plugins' configuration, whole or not at all.
func write(own []netip.Prefix) error {
	var subnets [][]map[string]string
	var routes []map[string]string
	for _, prefix := range own {
		everywhere := "0.0.0.0/0"
		if prefix.Addr().Is6() {
			everywhere = "::/0"
		}
		subnets = append(subnets, []map[string]string{{"subnet": prefix.String()}})
		routes = append(routes, map[string]string{"dst": everywhere})
	}
	text, err := json.MarshalIndent(map[string]any{
		"cniVersion": "0.4.0",
		"name":       "lbproof",
		"plugins": []map[string]any{
			{
				"type":   "ptp",
				"ipMasq": false,
				"ipam":   map[string]any{"type": "host-local", "dataDir": "/run/cni-ipam-state", "routes": routes, "ranges": subnets},
			},
			{"type": "portmap", "capabilities": map[string]bool{"portMappings": true}},
		},
	}, "", "  ")
	if err != nil {
		return err
	}
	if have, err := os.ReadFile(configuration); err == nil && string(have) == string(text) {
		return nil
	}
	if err := os.WriteFile(configuration+".tmp", text, 0o644); err != nil {
		return err
	}
	log.Printf("pods of this node: %v", own)
	return os.Rename(configuration+".tmp", configuration)
}
