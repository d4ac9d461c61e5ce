# The network of docs/tutorial.md in network namespaces, for a root shell: ". ./lab.sh && lab_up".

LAB=/run/lab

# on HOST COMMAND...: run a command on a host; the files in /etc/netns/HOST appear in its /etc.
on() {
    RUNTIME_DIRECTORY=$LAB/$1 STATE_DIRECTORY=$LAB/$1 ip netns exec "$@"
}

# host NAME ADDRESS: a host with the interface eth0, connected to the switch.
host() {
    ip netns add "$1"
    ip -n "$1" link set lo up
    ip -n switch link add "$1" type veth peer name eth0 netns "$1"
    ip -n switch link set "$1" master br0 up
    ip -n "$1" address add "$2/24" dev eth0
    ip -n "$1" link set eth0 up
    mkdir -p "$LAB/$1"
}

lab_up() {
    modprobe ip_vs
    mkdir -p /etc/pybal /etc/bird /run/bird /etc/netns
    cp -r balancer1 balancer2 router /etc/netns

    ip netns add switch
    ip -n switch link add br0 type bridge
    ip -n switch link set br0 up
    host router 10.0.0.1
    host balancer1 10.0.0.11
    host balancer2 10.0.0.12
    host server1 10.0.0.21
    host server2 10.0.0.22

    # The client has its own cable to the router.
    ip netns add client
    ip -n router link add client type veth peer name eth0 netns client
    ip -n router address add 10.0.9.1/24 dev client
    ip -n router link set client up
    ip -n client address add 10.0.9.2/24 dev eth0
    ip -n client link set eth0 up
    ip -n client route add default via 10.0.9.1
    on router sysctl -q -w net.ipv4.ip_forward=1

    # Balancers and servers have the VIP; the servers do not answer ARP requests for it.
    for name in balancer1 balancer2 server1 server2; do
        ip -n $name route add default via 10.0.0.1
        ip -n $name address add 192.0.2.1/32 dev lo
    done
    for name in server1 server2; do
        on $name sysctl -q -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
        echo $name >$LAB/$name/index.html
    done
}

# web SERVER: start its web server.
web() (
    on "$1" python3 -m http.server 80 --directory "$LAB/$1" >"$LAB/$1/log" 2>&1 &
)

# start BALANCER, stop BALANCER: its PyBal, as "systemctl start pybal" and "systemctl stop pybal" do.
start() (
    on "$1" sh -c 'echo $$ >$RUNTIME_DIRECTORY/pid; exec pybal' >"$LAB/$1/log" 2>&1 &
)
stop() {
    kill "$(cat "$LAB/$1/pid")"
}

# power_off HOST: kill all its processes; one that has just ended is not an error.
power_off() {
    ip netns pids "$1" | xargs -r kill -KILL 2>/dev/null
}

lab_down() {
    for name in client router balancer1 balancer2 server1 server2 switch; do
        power_off $name
        ip netns delete $name
    done
    rm -r /etc/netns/balancer1 /etc/netns/balancer2 /etc/netns/router $LAB
}
