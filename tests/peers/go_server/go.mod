module peers/go_server

go 1.24
