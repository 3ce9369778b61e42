module peers/go_proxy

go 1.24
