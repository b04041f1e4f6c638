"""Which agent learns fastest what users like? A registered comparison."""
