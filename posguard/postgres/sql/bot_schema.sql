-- The bot's tables as they stand today (the newer column set, without stop_loss_order_id). Only the demo, the tests, the
-- reproduction and the explorer run this.
CREATE SCHEMA IF NOT EXISTS monitoring;

CREATE TABLE monitoring.positions (
    id serial PRIMARY KEY,
    signal_id integer,
    symbol varchar(20) NOT NULL,
    exchange varchar(50) NOT NULL,
    side varchar(10) NOT NULL,
    quantity numeric(20, 8) NOT NULL,
    entry_price numeric(20, 8) NOT NULL,
    current_price numeric(20, 8),
    stop_loss_price numeric(20, 8),
    take_profit_price numeric(20, 8),
    unrealized_pnl numeric(20, 8),
    realized_pnl numeric(20, 8),
    fees numeric(20, 8),
    status varchar(20) DEFAULT 'active',
    exit_reason text,
    opened_at timestamptz DEFAULT now(),
    closed_at timestamptz,
    updated_at timestamptz DEFAULT now(),
    created_at timestamptz DEFAULT now(),
    leverage numeric(10, 2),
    stop_loss numeric(20, 8),
    take_profit numeric(20, 8),
    pnl numeric(20, 8),
    pnl_percentage numeric(10, 4),
    trailing_activated boolean DEFAULT false,
    error_details jsonb,
    retry_count integer DEFAULT 0,
    last_error_at timestamptz,
    has_trailing_stop boolean DEFAULT false,
    has_stop_loss boolean DEFAULT false,
    exchange_order_id varchar(100),
    trailing_activation_percent numeric(10, 4),
    trailing_callback_percent numeric(10, 4),
    signal_stop_loss_percent numeric(10, 4),
    spread_at_entry numeric(10, 4)
);
CREATE UNIQUE INDEX idx_unique_active_position ON monitoring.positions (symbol, exchange) WHERE status = 'active';
CREATE INDEX idx_positions_status ON monitoring.positions (status);

CREATE TABLE monitoring.orders (
    id serial PRIMARY KEY,
    position_id varchar(100),
    exchange varchar(50),
    symbol varchar(50),
    order_id varchar(100),
    client_order_id varchar(100),
    type varchar(50),
    side varchar(10),
    size numeric(20, 8),
    price numeric(20, 8),
    status varchar(50),
    filled numeric(20, 8) DEFAULT 0,
    remaining numeric(20, 8),
    fee numeric(20, 8),
    fee_currency varchar(20),
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);

CREATE TABLE monitoring.events (
    id serial PRIMARY KEY,
    event_type varchar(50) NOT NULL,
    event_data jsonb,
    correlation_id varchar(100),
    position_id integer,
    order_id varchar(100),
    symbol varchar(50),
    exchange varchar(50),
    severity varchar(20) DEFAULT 'INFO',
    error_message text,
    stack_trace text,
    created_at timestamptz DEFAULT now()
);
CREATE INDEX idx_events_created_at ON monitoring.events (created_at DESC);

CREATE TABLE monitoring.trailing_stop_state (
    id bigserial PRIMARY KEY,
    symbol varchar(50) NOT NULL,
    exchange varchar(50) NOT NULL,
    position_id bigint NOT NULL,
    state varchar(20) NOT NULL DEFAULT 'inactive',
    is_activated boolean NOT NULL DEFAULT false,
    highest_price numeric(20, 8),
    lowest_price numeric(20, 8),
    current_stop_price numeric(20, 8),
    stop_order_id varchar(100),
    activation_price numeric(20, 8),
    activation_percent numeric(10, 4),
    callback_percent numeric(10, 4),
    entry_price numeric(20, 8) NOT NULL,
    side varchar(10) NOT NULL,
    quantity numeric(20, 8) NOT NULL,
    update_count integer DEFAULT 0,
    highest_profit_percent numeric(10, 4),
    created_at timestamptz DEFAULT now(),
    activated_at timestamptz,
    last_update_time timestamptz,
    last_sl_update_time timestamptz,
    last_updated_sl_price numeric(20, 8),
    metadata jsonb
);
