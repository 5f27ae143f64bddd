# Varnish in front of EventStreams. Start varnishd with
#   -p http_req_hdr_len=64k -p http_req_size=128k -p workspace_client=384k -p workspace_backend=384k -p pipe_timeout=60
# (ids of many partitions are long; pipe_timeout must be above keepalive_seconds). docs/deployment.md says why each line is
# there; the tests run this file.
vcl 4.1;

backend eventstreams {
    .host = "127.0.0.1";
    .port = "8092";
    .connect_timeout = 5s;
    .first_byte_timeout = 60s;
    .between_bytes_timeout = 60s;
    .probe = {
        .url = "/readyz";
        .interval = 2s;
        .timeout = 2s;
        .window = 3;
        .threshold = 2;
        .initial = 2;
    }
}

sub vcl_recv {
    # Overwrites what the client sent. The service believes this header from trusted_proxies.
    set req.http.X-Client-IP = client.ip;
    if (req.url ~ "^/v2/stream/") {
        # Varnish passes the bytes on as they come: no cache, one thread instead of two, chunks as the service made them.
        return (pipe);
    }
    return (pass);
}

sub vcl_pipe {
    # One request for each connection: Varnish would not look at a second one, whose X-Client-IP could be forged. This is
    # its default, too; a test is red if it is unset.
    set bereq.http.Connection = "close";
}
